# shellcheck shell=sh
# bench/common.sh: what the scripts share that run clients beside each other: which core is whose,
# which Python, and an nginx of their own. To be sourced.
PATH=$PATH:/usr/sbin

# The server has a core of its own, where there are two.
server="" client=""
if command -v taskset >/dev/null && [ "$(nproc)" -gt 1 ]; then
  server="taskset -c 1" client="taskset -c 0"
fi

# find_python MODULE,...: the first Python that has them, in $PYTHON unless that is set.
find_python() {
  [ -n "${PYTHON:-}" ] && return
  for PYTHON in python3 /usr/bin/python3; do
    "$PYTHON" -c "import $1" >/dev/null 2>&1 && break
  done
}

# start_nginx TEMPLATE DIR [SED_ARGUMENT...]: an nginx whose files are in DIR. It cannot choose a
# port; some below those that the system gives to clients are tried until one, and the one above
# it, are free: $http and $https.
start_nginx() {
  template=$1 dir=$2
  shift 2
  mkdir "$dir/tmp"
  tries=0
  while [ $tries -lt 8 ]; do
    http=$((10000 + ($$ + tries * 1237) % 20000))
    https=$((http + 1))
    sed -e "s|@DIR@|$dir|" -e "s|@HTTP@|$http|" -e "s|@HTTPS@|$https|" "$@" \
      "$template" >"$dir/nginx.conf"
    [ "$(id -u)" = 0 ] && echo "user $(id -un);" >>"$dir/nginx.conf"
    $server nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf" && return
    tries=$((tries + 1))
  done
  echo "bench: nginx did not start" >&2
  exit 1
}
