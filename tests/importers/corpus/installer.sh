wget https://repo.example.com/Miniconda3-Linux-x86_64.sh
bash Miniconda3-Linux-x86_64.sh -b -p /usr/local
rm Miniconda3-Linux-x86_64.sh
wget https://repo.example.com/tool.deb && sudo dpkg -i tool.deb
wget https://weights.example.net/net.pt -P weights
