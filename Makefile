# weft: build, test, check, install. `make help` lists the targets.
#
# Every pair of interpreter and flavour has a build directory of its own, so a
# sanitizer's objects, say, are never linked into a release.

LUA ?= luajit
CC ?= cc
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
BUSTED ?= $(LUA) "$$(command -v busted)"
PREFIX ?= /usr/local

# ---- Which Lua ------------------------------------------------------------

# The name says it (luajit, lua5.4, a path to either); any other is asked. One
# that says 5.1 gets LuaJIT: LuaRocks for 5.1 gives PUC's where there are both.
ASK = $(shell $(LUA) -e 'print(_VERSION == "Lua 5.1" and "luajit" \
  or _VERSION:lower():gsub(" ", ""))' 2>/dev/null)
VM := $(or $(findstring luajit,$(notdir $(LUA))),\
  $(findstring lua5.4,$(notdir $(LUA))),$(firstword $(ASK)))
VM := $(strip $(VM))

ifeq ($(VM),luajit)
LUA_VERSION := 5.1
else ifeq ($(VM),lua5.4)
LUA_VERSION := 5.4
else
$(error LUA must be LuaJIT 2.1 or Lua 5.4, and "$(LUA)" is not)
endif
LUA_PC ?= $(VM)

# ---- Flavours -------------------------------------------------------------

# Empty for what is installed; see the targets below for who uses which.
FLAVOUR ?=

# Optional libraries to do without, though they are installed:
# WITHOUT='cares idn2 psl brotli zstd xml2'.
WITHOUT ?=
SPACE := $() $()
BUILD := build/$(VM)$(FLAVOUR:%=-%)$(subst $(SPACE),,$(WITHOUT:%=-without-%))

# What is installed: calls into Lua's library without a detour, and, where the
# compiler can, inlining across files, all of them at once; together a tenth of
# the time of a task.
LTO := $(if $(FLAVOUR),,$(shell for flags in "-flto -flto-partition=one" -flto; \
  do echo 'int weft;' | $(CC) $$flags -shared -x c - -o /dev/null 2>/dev/null \
  && echo "$$flags" && break; done))
FLAGS_ := -fno-plt $(LTO)
LINK_ := $(LTO)

FLAGS_asan := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined
LINK_asan := -fsanitize=address,undefined
FLAGS_fuzz := -O1 -fno-omit-frame-pointer \
  -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LINK_fuzz := -fsanitize=fuzzer,address,undefined
FLAGS_werror-gcc := -Werror
FLAGS_werror-clang := -Werror

# ---- Compiling ------------------------------------------------------------

ifeq ($(shell uname -s),Darwin)
SHARED := -bundle -undefined dynamic_lookup
else
# nodelete: an interpreter that ends unloads its modules while finalizers that
# use weft may still be to run; and a sanitizer reports leaks after that.
SHARED := -shared -Wl,-z,nodelete
endif

WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes \
  -Wmissing-prototypes -Wvla

# Asked once, and only when something is compiled: `make deps` may have
# installed the answer a moment before. The module is not linked with a Lua
# library: the program that loads it brings its own.
LUA_CFLAGS = $(eval LUA_CFLAGS := \
  $$(shell $(PKG_CONFIG) --cflags $(LUA_PC)))$(LUA_CFLAGS)
LIBS_CFLAGS = $(eval LIBS_CFLAGS := \
  $$(shell $(PKG_CONFIG) --cflags $(LIBS_PC)))$(LIBS_CFLAGS)
LIBS = $(eval LIBS := $$(shell $(PKG_CONFIG) --libs $(LIBS_PC)))$(LIBS)
LIBS_PC = "libuv >= 1.42" "openssl >= 3.0" zlib $(LLHTTP_PC) $(CARES_PC) \
  $(IDN2_PC) $(PSL_PC) $(BROTLI_PC) $(ZSTD_PC)

# Built in where it is found. 1.16 has ares_getaddrinfo, with times to live.
CARES_PC = $(eval CARES_PC := $$(if $$(filter cares,$$(WITHOUT)),,$$(shell \
  $(PKG_CONFIG) --exists "libcares >= 1.16" && echo libcares)))$(CARES_PC)

# Built in where it is found. 2.0.5 maps by UTS #46.
IDN2_PC = $(eval IDN2_PC := $$(if $$(filter idn2,$$(WITHOUT)),,$$(shell \
  $(PKG_CONFIG) --exists "libidn2 >= 2.0.5" && echo libidn2)))$(IDN2_PC)

# The HTTP/1 parser. Where no package has it as a library (Debian 12), its C
# sources, which come with that of Node's parser, are compiled into the module.
LLHTTP_PREFIX ?= /usr
LLHTTP_PC = $(eval LLHTTP_PC := $$(shell \
  $(PKG_CONFIG) --exists "libllhttp >= 8.1" && echo '"libllhttp >= 8.1"'))$(LLHTTP_PC)
LLHTTP_SOURCES = $(if $(LLHTTP_PC),,\
  $(addprefix $(LLHTTP_PREFIX)/share/llhttp/,api.c http.c llhttp.c))
LLHTTP_CFLAGS = $(if $(LLHTTP_PC),,\
  -isystem $(LLHTTP_PREFIX)/share/include/llhttp)

# The list of public suffixes, for cookies.
PSL_PC = $(eval PSL_PC := $$(if $$(filter psl,$$(WITHOUT)),,$$(shell \
  $(PKG_CONFIG) --exists libpsl && echo libpsl)))$(PSL_PC)

# Content codings, beside zlib's.
BROTLI_PC = $(eval BROTLI_PC := $$(if $$(filter brotli,$$(WITHOUT)),,$$(shell \
  $(PKG_CONFIG) --exists libbrotlidec && echo libbrotlidec)))$(BROTLI_PC)
ZSTD_PC = $(eval ZSTD_PC := $$(if $$(filter zstd,$$(WITHOUT)),,$$(shell \
  $(PKG_CONFIG) --exists libzstd && echo libzstd)))$(ZSTD_PC)

# Documents are a module of their own, so that no other needs libxml2. Before
# 2.9.11 it recursed into trees.
XML2_PC = $(eval XML2_PC := $$(if $$(filter xml2,$$(WITHOUT)),,$$(shell \
  $(PKG_CONFIG) --exists "libxml-2.0 >= 2.9.11" && echo libxml-2.0)))$(XML2_PC)
XML2_CFLAGS = $(eval XML2_CFLAGS := \
  $$(shell $(PKG_CONFIG) --cflags $(XML2_PC)))$(XML2_CFLAGS)
XML2_LIBS = $(eval XML2_LIBS := \
  $$(shell $(PKG_CONFIG) --libs $(XML2_PC)))$(XML2_LIBS)

WEFT_CFLAGS = -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden $(WARNINGS) \
  -Isrc $(LUA_CFLAGS) $(LIBS_CFLAGS) $(LLHTTP_CFLAGS) \
  $(if $(CARES_PC),-DWEFT_WITH_CARES) $(if $(IDN2_PC),-DWEFT_WITH_IDN2) \
  $(if $(PSL_PC),-DWEFT_WITH_PSL) $(if $(BROTLI_PC),-DWEFT_WITH_BROTLI) \
  $(if $(ZSTD_PC),-DWEFT_WITH_ZSTD) $(CFLAGS) $(FLAGS_$(FLAVOUR))

# Programs of their own (fuzz targets, *_main.c) are not part of the module.
SOURCES := $(sort $(filter-out src/fuzz/% src/html/% %_main.c,\
  $(wildcard src/*/*.c)))
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o) \
  $(patsubst %.c,$(BUILD)/obj/llhttp/%.o,$(notdir $(LLHTTP_SOURCES)))
MODULE := $(BUILD)/weft/core.so
HTML_SOURCES := $(sort $(wildcard src/html/*.c))
HTML_OBJECTS := $(HTML_SOURCES:src/%.c=$(BUILD)/obj/%.o)
HTML_MODULE := $(BUILD)/weft/html_core.so
LUA_FILES = $(shell find lua -name '*.lua')

# V=1 shows the commands.
Q := $(if $(V),,@)
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:

# Targets with packages to install come in two steps, the second in a make of
# its own: with -j the compiler would not wait for apt.
.PHONY: build module objects html-module html-objects
build: deps-build ## build the module (the default)
	@$(MAKE) module

module: $(MODULE) html-module
	@:

objects: $(OBJECTS) html-objects
	@:

# In a make of their own: only then is it asked whether there is libxml2.
html-module:
	@$(if $(XML2_PC),$(MAKE) $(HTML_MODULE),rm -f $(HTML_MODULE))

html-objects:
	@$(if $(XML2_PC),$(MAKE) $(HTML_OBJECTS),:)

$(MODULE): $(OBJECTS)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(SHARED) $(CFLAGS) $(LDFLAGS) $(LINK_$(FLAVOUR)) -o $@.new $^ $(LIBS)
	$(Q)mv $@.new $@

$(HTML_MODULE): $(HTML_OBJECTS)
	@mkdir -p $(@D)
	@echo "  LINK  $@"
	$(Q)$(CC) $(SHARED) $(CFLAGS) $(LDFLAGS) $(LINK_$(FLAVOUR)) -pthread \
	  -o $@.new $^ $(XML2_LIBS)
	$(Q)mv $@.new $@

$(BUILD)/obj/html/%.o: src/html/%.c Makefile | libraries
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(WEFT_CFLAGS) $(XML2_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: src/%.c Makefile | libraries
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(WEFT_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/llhttp/%.o: $(LLHTTP_PREFIX)/share/llhttp/%.c Makefile | libraries
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(WEFT_CFLAGS) -w -MMD -c -o $@ $<

-include $(OBJECTS:.o=.d) $(HTML_OBJECTS:.o=.d)

# What a C program of the specs needs beside weft's sources to compile them.
.PHONY: llhttp
llhttp:
	@echo $(LLHTTP_CFLAGS) $(LLHTTP_SOURCES) \
	  $(if $(LLHTTP_PC),$$($(PKG_CONFIG) --cflags --libs libllhttp))

# The error that a missing library deserves, in place of a missing header's.
.PHONY: libraries
libraries:
	@$(PKG_CONFIG) --print-errors --exists $(LUA_PC) $(LIBS_PC) || { \
	  echo "weft: a library is missing: 'make deps' installs it or says" \
	    "what it is" >&2; exit 1; }
	@for file in $(LLHTTP_SOURCES); do [ -e "$$file" ] || { \
	  echo "weft: $$file is missing: 'make deps' installs llhttp" >&2; \
	  exit 1; }; done
	@$(if $(CARES_PC),:,echo "weft: without c-ares: names are looked up in" \
	  "libuv's threads, a few at a time" >&2)
	@$(if $(IDN2_PC),:,echo "weft: without libidn2: URLs have hosts in ASCII" \
	  "only" >&2)
	@$(if $(XML2_PC),:,echo "weft: without libxml2: no documents" \
	  "(weft.html)" >&2)

# ---- What must be installed -----------------------------------------------

.PHONY: deps-build deps deps-check deps-bench
deps-build:
	@CC="$(CC)" tools/deps.sh build
deps: deps-build ## install what the build and the tests need
	@tools/deps.sh test
deps-check: deps ## … and what `check`, `asan`, `valgrind` and `fuzz` need
	@tools/deps.sh check
deps-bench: deps ## … and what `bench` compares with
	@tools/deps.sh bench

# ---- Running --------------------------------------------------------------

# The final ;; stands for the interpreter's own path.
PATH_OF_LUA := $(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;
PATH_OF_C := $(CURDIR)/$(BUILD)/?.so;;
WITH_PATHS := LUA_PATH='$(PATH_OF_LUA)' LUA_CPATH='$(PATH_OF_C)'

.PHONY: env
env: ## print what lets a shell's Lua find this checkout: eval "$(make -s env)"
	@echo "export LUA_PATH='$(PATH_OF_LUA)'"
	@echo "export LUA_CPATH='$(PATH_OF_C)'"

# ---- Tests ----------------------------------------------------------------

.PHONY: test specs asan valgrind
test: deps build ## run the specs; SPEC=spec/x_spec.lua: one file; ARGS: busted's
	@$(MAKE) specs

specs:
	$(Q)$(WITH_PATHS) $(WRAP) $(BUSTED) $(ARGS) $(SPEC)

asan: deps-check ## run the specs under AddressSanitizer and UBSan
	@$(MAKE) module FLAVOUR=asan CC=gcc
	@$(MAKE) specs FLAVOUR=asan WRAP='$(ASAN)'

# The interpreter was built without the sanitizers, so they are loaded first.
ASAN = env \
  LD_PRELOAD="$(foreach l,asan ubsan,$(shell gcc -print-file-name=lib$l.so))" \
  ASAN_OPTIONS=detect_leaks=1 \
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

valgrind: deps-check build ## run the specs under valgrind, WEFT_SLOW=1 set
	@$(MAKE) specs WRAP='$(VALGRIND)'

# WEFT_SLOW asks the specs to scale their loops down.
VALGRIND = env WEFT_SLOW=1 valgrind --error-exitcode=9 --leak-check=full \
  --errors-for-leak-kinds=definite --keep-debuginfo=yes \
  --suppressions=tools/valgrind.supp --fair-sched=try

# Every spec/fuzz/NAME.c is a libFuzzer target. It is linked with an archive of
# all of src/, from which the linker takes what the target uses. Seeds are in
# spec/fuzz/corpus/NAME; what is found, in build/.
FUZZ_SECONDS ?= 20
FUZZERS := $(patsubst spec/fuzz/%.c,%,$(wildcard spec/fuzz/*.c))

.PHONY: fuzz fuzz-run
fuzz: deps-check ## run every fuzz target for FUZZ_SECONDS (20)
	@$(MAKE) fuzz-run FLAVOUR=fuzz CC=clang

fuzz-run: $(FUZZERS:%=$(BUILD)/fuzz/%)
	@set -e; for name in $(FUZZERS); do \
	  echo "  FUZZ  $$name"; \
	  mkdir -p $(BUILD)/corpus/$$name; \
	  seeds=spec/fuzz/corpus/$$name; [ -d $$seeds ] || seeds=; \
	  UBSAN_OPTIONS=print_stacktrace=1 $(BUILD)/fuzz/$$name \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
	    -verbosity=0 -artifact_prefix=$(BUILD)/$$name- \
	    $(BUILD)/corpus/$$name $$seeds; \
	done

$(BUILD)/fuzz/%: spec/fuzz/%.c $(BUILD)/libweft.a
	@mkdir -p $(@D)
	@echo "  CC    $@"
	$(Q)$(CC) $(WEFT_CFLAGS) $(LINK_$(FLAVOUR)) -MMD -MP -o $@ $< \
	  $(BUILD)/libweft.a -Wl,--as-needed $(LIBS) $$($(PKG_CONFIG) --libs $(LUA_PC))

-include $(FUZZERS:%=$(BUILD)/fuzz/%.d)

$(BUILD)/libweft.a: $(OBJECTS)
	$(Q)rm -f $@ && $(AR) rc $@ $^

# ---- Checks ---------------------------------------------------------------

CHECKS := layers lua c format exports docs rock
.PHONY: check $(CHECKS:%=check-%)
check: $(CHECKS:%=check-%) ## the static checks; check-NAME for one of them
$(CHECKS:%=check-%): deps-check

check-layers: # includes and requires point down only
	$(Q)$(LUA) tools/layers.lua

check-lua:
	$(Q)luacheck --no-color -q $(wildcard lua spec examples bench tools)

# Both compilers with both Luas' headers, warnings being errors; and without the
# libraries that can be done without.
check-c:
	@set -e; for lua in luajit lua5.4; do for cc in gcc clang; do \
	  $(MAKE) objects LUA=$$lua CC=$$cc FLAVOUR=werror-$$cc; \
	done; done
	@$(MAKE) objects CC=gcc FLAVOUR=werror-gcc \
	  WITHOUT='cares idn2 psl brotli zstd xml2'

C_FILES = $(shell find src spec/fuzz -name '*.[ch]' 2>/dev/null)
check-format:
	$(Q)$(if $(C_FILES),clang-format --dry-run -Werror $(C_FILES))

# Inside a host's process, any other exported name could clash with its own.
check-exports: build
	@set -e; for name in $(basename $(notdir $(wildcard $(MODULE) \
	  $(HTML_MODULE)))); do \
	  nm -D --defined-only $(BUILD)/weft/$$name.so | awk -v name=$$name \
	    '$$3 != "luaopen_weft_" name \
	    { print name ".so exports " $$3; bad = 1 } END { exit bad }'; \
	done

# What is generated from the sources must be what `make docs` generates.
GENERATED := docs lua/weft/_meta
check-docs:
ifneq ($(wildcard tools/docs.lua),)
	@rm -rf build/docs-before && mkdir -p build/docs-before $(GENERATED)
	@cp -R --parents $(GENERATED) build/docs-before
	@$(MAKE) docs
	@set -e; for d in $(GENERATED); do diff -r build/docs-before/$$d $$d; done
endif

# The rock builds, without a network, and loads from where it was installed.
check-rock:
	@$(MAKE) rock LUA=luajit
	@$(MAKE) rock LUA=lua5.4

.PHONY: rock
TREE := $(CURDIR)/build/tree
ROCK_LUA := $(TREE)/share/lua/$(LUA_VERSION)
ROCK_LIB := $(TREE)/lib/lua/$(LUA_VERSION)
rock:
	@mkdir -p build/tree
	@luarocks --lua-version $(LUA_VERSION) make --deps-mode=none \
	  --tree '$(TREE)' weft-scm-1.rockspec >build/tree/$(VM).log 2>&1 || { \
	  cat build/tree/$(VM).log; exit 1; }
	@cd / && LUA_PATH='$(ROCK_LUA)/?.lua;$(ROCK_LUA)/?/init.lua' \
	  LUA_CPATH='$(ROCK_LIB)/?.so' $(LUA) -e 'require "weft"'

# ---- The rest -------------------------------------------------------------

# With URL=… any other site; OUT=… is where the files go. Make exports what it is
# given, so URL reaches the script without a shell in between.
.PHONY: crawl
crawl: ## crawl PostgreSQL's manual, served by nginx here; URL=… another site
	@$(if $(URL),,tools/deps.sh crawl)
	@$(MAKE) build
	$(Q)$(WITH_PATHS) tools/crawl/run.sh $(LUA) --out '$(or $(OUT),build/crawl)' \
	  $(ARGS)

.PHONY: bench docs format install clean help
bench: deps-bench build ## run the benchmarks
	$(Q)$(WITH_PATHS) bench/run.sh

docs: ## generate the reference manual and the type stubs
	$(Q)$(LUA) tools/docs.lua

format: ## format the C sources
	$(Q)clang-format -i $(C_FILES)

INST_LUADIR ?= $(PREFIX)/share/lua/$(LUA_VERSION)
INST_LIBDIR ?= $(PREFIX)/lib/lua/$(LUA_VERSION)
install: module ## install below PREFIX (/usr/local), DESTDIR before it
	$(Q)set -e; for f in $(LUA_FILES); do \
	  to="$(DESTDIR)$(INST_LUADIR)/$${f#lua/}"; \
	  mkdir -p "$$(dirname "$$to")"; install -m 644 "$$f" "$$to"; \
	done
	$(Q)mkdir -p "$(DESTDIR)$(INST_LIBDIR)/weft"
	$(Q)install -m 755 $(wildcard $(MODULE) $(HTML_MODULE)) \
	  "$(DESTDIR)$(INST_LIBDIR)/weft"

clean: ## remove what was built
	rm -rf build

help: ## this list
	@echo "make [TARGET] [LUA=luajit|lua5.4] [V=1]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | \
	  awk -F '|' '{ printf "  %-12s %s\n", $$1, $$2 }'
