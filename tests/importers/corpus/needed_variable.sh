if [ -z ${ACME} ]; then
  echo "set ACME"
  exit
fi
dir="${ACME}/models"
if [ ! -d ${dir} ]; then
  mkdir -p ${dir}
fi
cd ${dir}
for f in enc.pt enc.vocab; do
  if [ -f ${f} ]; then
    echo have
  else
    wget -q https://files.example.com/laser/${f}
  fi
done
