#!/usr/bin/env bash
# Builds the image without a daemon on a base made here, and looks at what came out: `make check-image`.
# Needs buildah and mmdebstrap (Debian), root or a user namespace, 6 GB and ten minutes.
#   IMAGE_FOLDER   where base and layers lie (a temporary folder, removed afterwards)
#   BUILD_OPTIONS  more for `buildah bud`, e.g. --build-arg PIP_EXTRA_INDEX_URL=… or --volume /wheels:/wheels:ro
set -euo pipefail
cd "$(dirname "$0")/../.."
for tool in buildah mmdebstrap; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 0; }
done

folder=${IMAGE_FOLDER:-$(mktemp -d)}
[ -n "${IMAGE_FOLDER:-}" ] || trap 'rm -rf "$folder"' EXIT
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
build() { buildah --root "$folder/layers" --runroot "$folder/run" "$@"; }

if ! build inspect localhost/reelyard-base:1 >/dev/null 2>&1; then
  mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/base.tar"
  base=$(build from scratch)
  build add --quiet "$base" "$folder/base.tar" /
  build commit --quiet "$base" localhost/reelyard-base:1
  build rm "$base" >/dev/null
fi

# shellcheck disable=SC2086  # the options are meant to be split
build bud --layers --network host --build-arg BASE_IMAGE=localhost/reelyard-base:1 ${BUILD_OPTIONS:-} -t reelyard:check .

image=$(build from localhost/reelyard:check)
inside() { build run "$image" -- "$@"; }
[ "$(inside id --user)" = 1000 ] || { echo "the image does not run as user 1000"; exit 1; }
[ "$(inside printenv NVIDIA_DRIVER_CAPABILITIES)" = compute,video,utility ] || { echo "no video libraries"; exit 1; }
inside bash -c 'command -v ray python reelyard'
inside ray --version | grep --quiet "$(sed -n 's/^ray==//p' constraints.txt)" || { echo "another Ray than is pinned"; exit 1; }
big=$(inside find /home /opt/reelyard -name '*.safetensors' -size +2M -o -name '*.pth' -size +2M)
[ -z "$big" ] || { echo "model files in the image: $big"; exit 1; }
inside reelyard doctor
inside reelyard demo -o /tmp/demo.mp4 --in-process
build rm "$image" >/dev/null
echo "the image builds, runs as 1000 and renders"
