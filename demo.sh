#!/bin/sh
# The whole chain on the embedded synthetic dataset: the supervised baseline beside IFR, in one table.
# Run it again and every stage answers "up to date"; stop it at any moment and run it again: it goes on.
set -eu

clips=$(ifrkit prepare synthetic --recipe tiny)
flow=$(ifrkit train-flow --recipe tiny --resume --from "$clips")

reports=
for ssl in none ifr; do
    branches=$(ifrkit train-branches --recipe tiny --partition 1/2 --ssl "$ssl" --resume --from "$clips")
    model=$(ifrkit train-fusion --recipe tiny --flow "$flow" --resume --from "$branches")
    ifrkit eval --recipe tiny --metric mIoU --split train --frames all --from "$branches" > /dev/null
    reports="$reports $(ifrkit eval --recipe tiny --metric mIoU,TC --flow truth --from "$model")"
done

# shellcheck disable=SC2086  # one word for each report
ifrkit compare $reports
for report in $reports; do echo "pictures: $report/"; done
