#!/bin/sh
# Installs what weft needs and the machine lacks: `tools/deps.sh GROUP...`, the
# groups being the functions group_* below. Each thing is looked for by trying
# it, so a LuaJIT or a libuv of your own counts. Where there is apt-get, the
# missing Debian packages are installed; where there is none, or no right to
# use it, they are listed, and the build goes on with what there is.
set -u

missing=""
list=""

# need PACKAGES WHAT PROBE...: PROBE succeeds when WHAT is there already.
need() {
  packages=$1 what=$2
  shift 2
  "$@" >/dev/null 2>&1 && return
  installed "$packages" && return # it will not get better by installing
  missing="$missing $packages"
  list="$list  $what (on Debian: $packages)
"
}

have() { command -v "$1"; }

compiles() { printf 'int main(void) { return 0; }' | "$@" -x c -o /dev/null -; }

installed() {
  have dpkg-query >/dev/null || return 1
  for package in $1; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null |
      grep -q '^installed$' || return 1
  done
}

# Debian has two LuaJITs that cannot be installed together. OpenResty's branch
# is the one weft is made for; where other packages hold the other one, it is
# that.
luajit=luajit2 libluajit=libluajit2-5.1
if installed libluajit-5.1-2; then
  luajit=luajit libluajit=libluajit-5.1
fi

group_build() {
  need "gcc libc6-dev"    "a C11 compiler and libc's headers" \
    compiles "${CC:-cc}"
  need pkg-config         "pkg-config"        have pkg-config
  need "$luajit"          "LuaJIT 2.1"        have luajit
  need "$libluajit-dev"   "LuaJIT's headers"  pkg-config --exists luajit
  need lua5.4             "Lua 5.4"           have lua5.4
  need liblua5.4-dev      "Lua 5.4's headers" pkg-config --exists lua5.4
  need libuv1-dev         "libuv 1.42 or later, with its headers" \
    pkg-config --exists "libuv >= 1.42"
  need libssl-dev         "OpenSSL 3.0 or later, with its headers" \
    pkg-config --exists "openssl >= 3.0"
  need node-llhttp        "llhttp 8.1 or later, with its header" \
    sh -c 'pkg-config --exists "libllhttp >= 8.1" ||
      test -e "${LLHTTP_PREFIX:-/usr}/share/llhttp/api.c"'
  need libc-ares-dev      "c-ares (optional), with its headers" \
    pkg-config --exists "libcares >= 1.16"
  need libidn2-dev        "libidn2 (optional), with its headers" \
    pkg-config --exists "libidn2 >= 2.0.5"
  need zlib1g-dev         "zlib, with its headers" pkg-config --exists zlib
  need libbrotli-dev      "brotli (optional), with its headers" \
    pkg-config --exists libbrotlidec
  need libzstd-dev        "zstd (optional), with its headers" \
    pkg-config --exists libzstd
  need libpsl-dev         "libpsl (optional), with its headers" \
    pkg-config --exists libpsl
  need libxml2-dev        "libxml2 (optional), with its headers" \
    pkg-config --exists "libxml-2.0 >= 2.9.11"
}

# busted is loaded by the interpreter under test, so each of them must find it.
# The specs make their certificates with the openssl command. The servers and
# proxies are for the specs of the HTTP client, which run them on their own;
# those of documents compare with Debian's Python, on other packages' pages.
group_test() {
  need openssl "the openssl command" have openssl
  need nginx-light "nginx" sh -c 'PATH=$PATH:/usr/sbin command -v nginx'
  need lua-cjson "lua-cjson" sh -c 'luajit -e "require [[cjson]]" &&
    lua5.4 -e "require [[cjson]]"'
  need lua-busted "busted" sh -c 'command -v busted &&
    luajit -e "require [[busted.core]]" && lua5.4 -e "require [[busted.core]]"'
  need lua-cjson "lua-cjson" sh -c 'luajit -e "require [[cjson]]" &&
    lua5.4 -e "require [[cjson]]"'
  need python3-aiohttp    "aiohttp"    /usr/bin/python3 -c 'import aiohttp'
  need apache2-bin        "Apache"     test -x /usr/sbin/apache2
  need gunicorn           "gunicorn"   test -x /usr/bin/gunicorn
  need python3-httpbin    "httpbin"    /usr/bin/python3 -c 'import httpbin'
  need tinyproxy-bin      "tinyproxy"  test -x /usr/bin/tinyproxy
  need squid              "squid"      test -x /usr/sbin/squid
  need microsocks         "microsocks" test -x /usr/bin/microsocks
  need dante-server       "dante"      test -x /usr/sbin/danted
  need "python3-lxml python3-cssselect python3-parsel" \
    "lxml, cssselect and parsel" \
    /usr/bin/python3 -c 'import lxml, cssselect, parsel'
  need postgresql-doc-15 "PostgreSQL's pages" \
    test -d /usr/share/doc/postgresql-doc-15/html
  need apache2-doc "Apache's pages" test -d /usr/share/doc/apache2-doc/manual
}

group_check() {
  need "gcc libc6-dev"    "gcc, with ASan and UBSan" \
    compiles gcc -fsanitize=address,undefined
  need clang              "clang"             compiles clang
  need libclang-rt-dev    "libFuzzer, of compiler-rt" \
    compiles clang -fsanitize=fuzzer-no-link,address,undefined
  need clang-format       "clang-format"      have clang-format
  need lua-check          "luacheck"          have luacheck
  need valgrind           "valgrind"          have valgrind
  need luarocks           "LuaRocks"          have luarocks
}

# A server and a site of some size, for `make crawl`; and what writes the state
# that a crawl goes on from (--resume).
group_crawl() {
  need lua-cjson "lua-cjson" sh -c 'luajit -e "require [[cjson]]" ||
    lua5.4 -e "require [[cjson]]"'
  need nginx-light "nginx" sh -c 'PATH=$PATH:/usr/sbin command -v nginx'
  need postgresql-doc-15 "PostgreSQL's pages" \
    test -d /usr/share/doc/postgresql-doc-15/html
}

# What the benchmarks compare weft with.
group_bench() {
  need python3            "Python 3"          have python3
  need python3-uvloop     "uvloop"            python3 -c 'import uvloop'
  need lua-cqueues        "cqueues"           luajit -e 'require "cqueues"'
  need golang-go          "Go"                have go
  need wrk                "wrk"               have wrk
  need python3-aiohttp    "aiohttp"           python3 -c 'import aiohttp'
  need lua-http           "lua-http"          luajit -e 'require "http.request"'
  need python3-scrapy     "Scrapy"            python3 -c 'import scrapy'
  need python3-lxml       "lxml"              python3 -c 'import lxml'
  need python3-w3lib      "w3lib"             python3 -c 'import w3lib'
  need nginx-light "nginx" sh -c 'PATH=$PATH:/usr/sbin command -v nginx'
  need lua-cjson          "lua-cjson"         luajit -e 'require "cjson"'
  need postgresql-doc-15  "the site that is crawled" \
    test -e /usr/share/doc/postgresql-doc-15/html/index.html
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    env DEBIAN_FRONTEND=noninteractive "$@"
  else
    sudo env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# Runs as root: `sh -c "$install" sh PACKAGES...`. What comes with a service is
# wanted for its program: nothing is started now, nor when the machine is. A
# policy-rc.d that is there already is left as it is.
# --no-remove: where a package conflicts with an installed one, the choice is
# the user's.
install='
policy=/usr/sbin/policy-rc.d
if ! [ -e $policy ] && ! [ -L $policy ]; then
  trap "rm -f $policy" EXIT
  trap "exit 1" HUP INT TERM
  printf "#!/bin/sh\nexit 101\n" > $policy && chmod 755 $policy
fi
apt-get update -q &&
  apt-get install -q -y --no-install-recommends --no-remove "$@" || exit
for package in "$@"; do
  case $package in
    nginx-light) service=nginx ;;
    squid) service=squid ;;
    dante-server) service=danted ;;
    *) continue ;;
  esac
  update-rc.d $service disable >/dev/null
done
'

can_install() {
  have apt-get >/dev/null && { [ "$(id -u)" = 0 ] || have sudo >/dev/null; }
}

for group in "$@"; do
  case $group in
    build | test | check | crawl | bench) "group_$group" ;;
    *)
      echo "tools/deps.sh: no such group: $group" >&2
      exit 2
      ;;
  esac
done
[ -n "$missing" ] || exit 0

if can_install; then
  # $missing is a list of words, hence unquoted.
  as_root sh -c "$install" sh $missing
else
  printf 'weft needs, and did not find:\n%s' "$list" >&2
fi
