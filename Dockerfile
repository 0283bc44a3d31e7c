# The challenge's container, and what is built on the same core: no network, no GPU, no torch, no root.
#   docker build .                  folders of npz cases
#   docker build --target files .   the command line, on files as people have them
#   docker build --target app .     the page in the browser
ARG BASE_IMAGE=python:3.11-slim-bookworm

# For strip, which takes out of a library what only a debugger reads: of those that come with it. Most do not, and some
# whose wheel was repaired no longer load once they are stripped. Where Debian's packages cannot be reached, the images
# have 30 MB more.
FROM ${BASE_IMAGE} AS builder
RUN (apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*) \
    || ln -s /bin/true /usr/local/bin/strip

FROM builder AS packages
COPY requirements.txt /tmp/requirements.txt
RUN python3 -m pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: \
        --target /opt/packages -r /tmp/requirements.txt
# OpenVINO's other devices and model formats: only the CPU and its own format are used.
# openvino_telemetry would reach for the network and write into the home folder; OpenVINO runs without it.
# numpy's and pygments' parts that build extensions and colour other languages: nothing here does.
RUN rm -rf /opt/packages/openvino_telemetry* && cd /opt/packages/openvino \
    && rm -rf include cmake tools torch test_utils frontend/jax frontend/onnx frontend/paddle frontend/pytorch frontend/tensorflow \
    && find libs -name '*gpu*' -delete && find libs -name '*npu*' -delete \
    && find libs \( -name '*hetero*' -o -name '*auto_plugin*' -o -name '*auto_batch*' \) -delete \
    && find libs \( -name '*tensorflow*' -o -name '*pytorch*' -o -name '*paddle*' -o -name '*onnx*' -o -name '*jax*' \) -delete \
    && rm -rf libs/cache.json libs/*gguf* libs/*.pc && cd .. \
    && rm -rf cv2/data/*.xml bin numpy/*/tests numpy/tests numpy/distutils numpy/f2py numpy/_core/include numpy/*/lib \
    && find pygments/lexers -name '*.py' ! -name __init__.py ! -name _mapping.py ! -name python.py ! -name special.py -delete \
    && find . -name '*.pyi' -delete && strip --strip-unneeded cc3d/*.so \
    && python3 -m compileall -q -j 0 .

FROM ${BASE_IMAGE} AS core
LABEL org.opencontainers.image.title="RepMedSAM" \
      org.opencontainers.image.description="Box-prompted segmentation of medical images on a CPU; for research, not for diagnosis" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-SA-4.0"
COPY --from=packages /opt/packages /opt/packages
WORKDIR /workspace
COPY repmedsam.sh /usr/local/bin/repmedsam
COPY predict.sh LICENSE ./
COPY weights weights
COPY repmedsam_infer repmedsam_infer
RUN python3 -m compileall -q repmedsam_infer && chmod 755 /usr/local/bin/repmedsam
# Python neither writes bytecode (the file system may be read-only) nor needs a home.
ENV PYTHONPATH=/workspace:/opt/packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# Compiled for the processor that builds the image; on another one they are not used.
RUN python3 -m repmedsam_infer prepare compiled
ENV REPMEDSAM_CACHE=/workspace/compiled

FROM core AS inference
RUN mkdir -p inputs outputs && chmod 777 outputs
USER 1000:1000
CMD ["sh", "predict.sh"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"

FROM builder AS files_packages
COPY requirements-files.txt /tmp/requirements.txt
# gdcm brings every library three times, under the names that the linker, the loader and people use: the loader's is
# used. Its programs, tests, Pillow's fonts and AVIF are not. highdicom's table of the standard is read without its
# indentation, too, and quicker.
RUN python3 -m pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: --no-deps \
        --target /opt/files_packages -r /tmp/requirements.txt \
    && cd /opt/files_packages \
    && find _gdcm \( -name 'lib*.so' -o -name 'lib*.so.*.*.*' -o -name 'libgdcmcharls.so.*.*' \) -delete \
    && find _gdcm -type f -perm -u+x ! -name '*.so*' -delete && rm -rf _gdcm/XML _gdcm/scripts bin pydicom/data/test_files \
    && rm -f PIL/_avif* PIL/_imagingft* pillow.libs/libavif* pillow.libs/libharfbuzz* pillow.libs/libfreetype* pillow.libs/libbrotli* \
    && find . -type d -name tests -prune -exec rm -r {} + && find . -name '*.pyi' -delete \
    && python3 -c "import json, pathlib; table = pathlib.Path('highdicom/_standard/module_attribute_map.json'); \
table.write_text(json.dumps(json.loads(table.read_text()), separators=(',', ':')))" \
    && strip --strip-unneeded _CharLS*.so _openjpeg*.so PIL/_imaging.*.so \
    && python3 -m compileall -q -j 0 .

FROM core AS files
COPY --from=files_packages /opt/files_packages /opt/files_packages
ENV PYTHONPATH=/workspace:/opt/packages:/opt/files_packages
WORKDIR /data
USER 1000:1000
CMD ["repmedsam"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"

FROM ${BASE_IMAGE} AS app_packages
COPY requirements-app.txt /tmp/requirements.txt
RUN python3 -m pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: --no-deps \
        --target /opt/app_packages -r /tmp/requirements.txt \
    && python3 -m compileall -q -j 0 /opt/app_packages

# On images of /workspace/images.
FROM files AS app
COPY --from=app_packages /opt/app_packages /opt/app_packages
WORKDIR /workspace
USER 0
RUN mkdir -p images kept && chmod 777 kept
USER 1000:1000
ENV PYTHONPATH=/workspace:/opt/packages:/opt/files_packages:/opt/app_packages
EXPOSE 8321
CMD ["python3", "-m", "repmedsam_infer", "app", "--host", "0.0.0.0", "--port", "8321", "--no-browser", "--keep", "kept", "images"]

# What is built without --target.
FROM inference
