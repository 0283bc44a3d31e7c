#!/bin/sh
# The challenge's entry: every case of inputs/ to outputs/. Options are those of `repmedsam predict`.
# exec: signals (docker stop) are to reach Python.
cd "$(dirname "$0")" || exit 3
if [ "$PWD" = /workspace ]; then # in the container, which has only what is mounted
    run='docker run --rm -v "$PWD/inputs:/workspace/inputs:ro" -v "$PWD/outputs:/workspace/outputs" IMAGE'
    found=$(ls -A inputs 2>&1)
    [ -n "$found" ] || { echo "error: no cases: mount a folder of npz at /workspace/inputs: $run" >&2; exit 2; }
    grep -qs ' /workspace/outputs ' /proc/self/mountinfo ||
        echo "note: nothing is mounted at /workspace/outputs, so results stay in the container: $run" >&2
fi
[ $# -eq 0 ] && exec python3 -m repmedsam_infer.commands.predict
case " $* " in *" --resume "*) ;; *) set -- --overwrite "$@" ;; esac
exec python3 -m repmedsam_infer predict --inputs inputs --outputs outputs "$@"
