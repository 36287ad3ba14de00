#!/bin/sh
# The whole chain on the embedded synthetic dataset, from 6 labels and pretrained light networks: the supervised
# baseline beside `blend`, in one table. Run it again and every stage answers "up to date"; stop it at any moment and
# run it again: it goes on.
set -eu

clips=$(ifrkit prepare synthetic --recipe compact)
flow=$(ifrkit train-flow --recipe compact --steps 100 --resume --from "$clips")

reports=
for ssl in none blend; do
    branches=$(ifrkit train-branches --recipe compact --ssl "$ssl" --labeled-count 6 --steps 60 --resume --from "$clips")
    model=$(ifrkit train-fusion --recipe compact --flow "$flow" --resume --from "$branches")
    ifrkit eval --metric mIoU --split train --frames all --from "$branches" > /dev/null
    reports="$reports $(ifrkit eval --metric mIoU,TC --flow truth --from "$model")"
done

# shellcheck disable=SC2086  # one word for each report
ifrkit compare $reports
for report in $reports; do echo "pictures: $report/"; done
