#!/bin/sh
# The whole chain on the embedded synthetic street: 6 labels, pretrained light networks (recipe `compact`).
# The supervised baseline goes through all stages; beside it its reference branch teaches an update branch (`blend`).
# Run it again and every stage answers "up to date"; stop it at any moment and run it again: it goes on.
set -eu

train="ifrkit train-branches --recipe compact --labeled-count 6 --steps 120 --resume"

clips=$(ifrkit prepare synthetic)
none=$($train --ssl none --from "$clips")
blend=$($train --ssl blend --branch update --from "$none")
flow=$(ifrkit train-flow --recipe compact --steps 100 --resume --from "$clips")
model=$(ifrkit train-fusion --recipe compact --flow "$flow" --resume --from "$none")

judge="ifrkit eval --metric mIoU,TC --flow truth"
chain=$($judge --from "$model")
ifrkit compare "$chain" "$($judge --from "$blend")"
echo "pictures: $chain/"
