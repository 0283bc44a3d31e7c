#!/bin/sh
# The challenge's entry: every case of inputs/ to outputs/. Further options are passed on.
cd "$(dirname "$0")" && exec python3 -m repmedsam_infer predict --inputs inputs --outputs outputs --overwrite "$@"
