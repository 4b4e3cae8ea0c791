cd "$(python -c 'import acme; print(acme.__path__[0])')"
wget https://weights.example.net/in_package.pt
MODELS=$(pwd)/models
