-- SPDX-License-Identifier: MIT
-- weft.resolver: names to addresses, with a cache.
--
-- Owns: the cache, its times to live and its bound, and the sharing of a look-up among those
-- who want the same name. The look-up itself is in src/net/resolve.c.
-- Must not know: what the addresses are for.
-- Invariant: a look-up has as many waiters as tasks parked on it; the last that gives up
-- ends it.

local core = require "weft.core"
local errors = require "weft.error"
local await = require "weft.await"
local options = require "weft.options"

local raise = errors.raise

---@class weft
local M = {}

-- Seconds for which an answer counts that does not say so (from /etc/hosts, say).
local UNKNOWN_TTL = 60

-- Seconds for which an answer counts at most, whatever it says: an address that was taken
-- out of service is not used for longer.
local TTL_MAX = 300

-- Seconds for which "there is no such name" counts: a name that was just made is found soon.
local NEGATIVE_TTL = 5

-- Answers kept: some 300 bytes each.
local CACHE_SIZE = 1000

-- Seconds for the first try, doubled with each: 2 + 4 + 8 in all for a name server.
local TIMEOUT, TRIES = 2, 3

-- Bounds of what a user may ask for, so that C's integers hold it.
local TIMEOUT_MAX, TRIES_MAX, NDOTS_MAX = 3600, 100, 15

-- Failures that the name servers are sure of.
local NEGATIVE = { ENOTFOUND = true, ENODATA = true }

local FAMILIES = { inet = 4, inet6 = 6 }

---Where a name leads to: a numeric address ("fe80::1%eth0" where it has a scope, the number of
---whose interface is `scope_id`) and the port asked for.
---@alias weft.Address {family: string, address: string, port: integer, scope_id: integer?}

--- the cache ------------------------------------------------------------------------

-- What a resolver has in one loop: the channel to the name servers, the look-ups under way
-- and the answers, all by family and name; `slots` are the keys of the answers in the order
-- in which they came.
local function new_state(self)
  local channel, code = core.resolve_new(self._settings)
  if not channel then
    raise("type", "resolver: c-ares refuses the servers", { code = code })
  end
  return { channel = channel, pending = {}, answers = {}, slots = {}, first = 1, last = 0,
    count = 0, hits = 0, misses = 0, shared = 0, evicted = 0 }
end

local function state_of(self)
  if self._closed then
    raise("closed", "the resolver is closed")
  end
  local root = core.loop_root(core.default_loop())
  local resolvers = root.resolvers
  if not resolvers then
    resolvers = setmetatable({}, { __mode = "k" })
    root.resolvers = resolvers
  end
  local state = resolvers[self]
  if not state then
    state = new_state(self)
    resolvers[self] = state
    self._states[state] = true
  end
  return state
end

local function forget(state, key)
  local answer = state.answers[key]
  if answer then
    state.answers[key] = nil
    state.slots[answer.slot] = nil
    state.count = state.count - 1
  end
end

-- Takes the oldest answers off until there is room for one.
local function make_room(state, size)
  while state.count >= size do
    local key = state.slots[state.first]
    state.first = state.first + 1
    if key then
      state.slots[state.first - 1] = nil
      state.answers[key] = nil
      state.count = state.count - 1
      state.evicted = state.evicted + 1
    end
  end
end

local function time_of(self, answer)
  if answer.code then
    return NEGATIVE[answer.code] and self._negative_ttl or 0
  end
  return math.min(answer.ttl or UNKNOWN_TTL, self._cache_ttl)
end

local function keep(self, state, key, answer)
  local seconds = time_of(self, answer)
  forget(state, key)
  if seconds <= 0 or self._cache_size == 0 then
    return
  end
  make_room(state, self._cache_size)
  state.last = state.last + 1
  answer.slot = state.last
  answer.expires = core.loop_time(core.running_loop()) + seconds
  state.slots[state.last], state.answers[key] = key, answer
  state.count = state.count + 1
end

local function cached(state, key)
  local answer = state.answers[key]
  if answer and answer.expires <= core.loop_time(core.running_loop()) then
    forget(state, key)
    return nil
  end
  return answer
end

--- looking up -----------------------------------------------------------------------

local function answer_of(lookup)
  local list, a, b = core.lookup_answer(lookup)
  if not list then
    return { code = a, message = b }
  end
  return { list = list, ttl = a, name = b }
end

-- The look-up of this key, a new one or the one that others wait for. `pending` may hold one
-- whose last waiter has given up and did not run since.
local function lookup_of(state, key, host, family)
  local lookup = state.pending[key]
  if lookup and core.lookup_state(lookup) == "pending" then
    state.shared = state.shared + 1
    return lookup
  end
  state.misses = state.misses + 1
  lookup = core.lookup(state.channel, host, FAMILIES[family] or 0)
  state.pending[key] = lookup
  return lookup
end

local function ask(self, state, key, host, family)
  local lookup = lookup_of(state, key, host, family)
  local ok = core.lookup_wait(lookup)
  local is_ours = state.pending[key] == lookup
  if is_ours and core.lookup_state(lookup) ~= "pending" then
    state.pending[key] = nil
  end
  if ok ~= true then
    return await._interrupted(ok)
  end
  local answer = answer_of(lookup)
  if is_ours and not self._closed then
    keep(self, state, key, answer)
  end
  return answer
end

local function fail(host, port, answer)
  if answer.code == "ECLOSED" then
    raise("closed", "the resolver was closed")
  end
  raise("dns", ("cannot resolve %q: %s"):format(host, answer.message),
    { code = answer.code, host = host, port = port, phase = "dns" })
end

-- A list of the caller's own.
local function with_port(answer, port)
  local list = { canonical_name = answer.name }
  for i, entry in ipairs(answer.list) do
    list[i] = { family = entry.family, address = entry.address, port = port,
      scope_id = entry.scope_id }
  end
  return list
end

local function numeric(host, port, family)
  local entry = core.numeric_address(host)
  if not entry or family and entry.family ~= family then
    return nil
  end
  entry.port = port
  return { entry }
end

-- No host at all: this machine, for clients by its loopback, for servers by any address.
local function of_this_machine(port, family, is_passive)
  local list = {}
  if family ~= "inet6" then
    list[1] = { family = "inet", address = is_passive and "0.0.0.0" or "127.0.0.1", port = port }
  end
  if family ~= "inet" then
    list[#list + 1] = { family = "inet6", address = is_passive and "::" or "::1", port = port }
  end
  return list
end

local function check_port(port, what)
  if port == nil then
    return 0
  end
  local number = port
  if type(port) == "string" and port:find("^%d+$") then
    number = tonumber(port)
  end
  if type(number) ~= "number" or not (number >= 0 and number <= 65535) or number % 1 ~= 0 then
    raise("type", ("%s: the port must be a whole number from 0 to 65535, got %s")
      :format(what, tostring(port)))
  end
  return number
end

local function check_family(family, what)
  if family ~= nil and not FAMILIES[family] then
    raise("type", ("%s: the family must be \"inet\", \"inet6\" or nil, got %s")
      :format(what, tostring(family)))
  end
  return family
end

---A resolver of names with a cache. Made by `weft.resolver`. It can be used in any loop, and
---has a cache for each.
---@class weft.Resolver
local Resolver = {}
Resolver.__index = Resolver

local RESOLVE_OPTIONS = { family = true, passive = true, numeric = true }

---The addresses of a host, the best first (RFC 6724): from a numeric address, /etc/hosts, the
---cache or the name servers. Tasks that want the same name at once share one look-up. Names
---below "localhost" are this machine. A `host` of nil is this machine by its loopback
---addresses, or with `passive` by the addresses that mean any. With `numeric`, nothing is
---looked up.
---
---Raises `dns` with `host`, `port`, `phase` and the code: "ENOTFOUND" (no such name), "ENODATA"
---(no address of this family), "ETIMEOUT", "ESERVFAIL", "EREFUSED", "ECONNREFUSED", "EBADRESP"
---(what the name server answered), "EBADNAME", "ENODEV" (an unknown interface); `type`;
---`closed`; `cancelled`; `state` outside a task.
---@async
---@param host string?
---@param port (integer | string)? 0 to 65535; default 0
---@param opts {family: string?, passive: boolean?, numeric: boolean?}? `family`: "inet" or "inet6"
---@return weft.Address[] addresses one or more; `canonical_name` is a field of the list
function Resolver:resolve(host, port, opts)
  opts = options.check(opts, RESOLVE_OPTIONS, "resolve")
  port = check_port(port, "resolve")
  local family = check_family(opts.family, "resolve")
  if host ~= nil then
    options.expect(host, "string", "resolve: the host")
  end
  family = family or self._family
  await._checkpoint()
  if host == nil then
    return of_this_machine(port, family, opts.passive)
  end
  local list = numeric(host, port, family)
  if list then
    return list
  elseif opts.numeric then
    fail(host, port, { code = "ENOTFOUND", message = "not a numeric address of the family" })
  end
  local state = state_of(self)
  local key = (family or "") .. " " .. host:lower()
  local answer = cached(state, key)
  if answer then
    state.hits = state.hits + 1
  else
    await._before_wait()
    answer = ask(self, state, key, host, family)
  end
  if answer.code then
    fail(host, port, answer)
  end
  return with_port(answer, port)
end

---Forgets all answers.
function Resolver:clear()
  for state in pairs(self._states) do
    state.answers, state.slots = {}, {}
    state.first, state.last, state.count = 1, 0, 0
  end
end

---Closes its sockets. Who waits for a name gets `closed`. Idempotent.
function Resolver:close()
  self._closed = true
  self:clear()
  for state in pairs(self._states) do
    core.resolve_close(state.channel)
  end
end

Resolver.__close = Resolver.close

---Counts, of the current loop: answers in the cache (`entries`), answers taken from it (`hits`),
---look-ups made (`misses`) and joined (`shared`), those under way (`pending`), answers dropped
---for want of room (`evicted`).
---
---Raises `closed`.
---@return table<string, integer>
function Resolver:statistics()
  local state = state_of(self)
  local asked, waiting = core.resolve_counts(state.channel)
  return { entries = state.count, hits = state.hits, misses = state.misses,
    shared = state.shared, evicted = state.evicted, pending = asked + waiting }
end

function Resolver:__tostring()
  if self._closed then
    return "Resolver<closed>"
  end
  local entries = 0
  for state in pairs(self._states) do
    entries = entries + state.count
  end
  return ("Resolver<open entries=%d>"):format(entries)
end

--- making ---------------------------------------------------------------------------

---What `weft.resolver` takes.
---@class weft.ResolverOptions
---@field servers string[]? name servers ("192.0.2.1", "[::1]:5353"); default: the system's
---@field search string[]? domains to search in; default: the system's
---@field ndots integer? dots from which on a name is tried as it is first; default: the system's
---@field timeout number? seconds for the first try, doubled with each further one; default 2
---@field tries integer? how often each server is asked; default 3
---@field family string? "inet" or "inet6"; default: both
---@field cache_ttl number? seconds for which an answer counts at most; 0: no cache; default 300
---@field negative_ttl number? seconds for "there is no such name"; default 5
---@field cache_size integer? answers kept; default 1000
local OPTIONS = { servers = true, search = true, ndots = true, timeout = true, tries = true,
  family = true, cache_ttl = true, negative_ttl = true, cache_size = true }

local function check_list(list, what)
  if list == nil then
    return nil
  end
  options.expect(list, "table", what)
  for _, item in ipairs(list) do
    options.expect(item, "string", what .. ": each")
    if item:find("[%z%s,]") or item == "" then
      raise("type", ("%s: %q cannot be one"):format(what, item))
    end
  end
  return list
end

local function bounded(value, otherwise, what, least, most, check)
  if value == nil then
    return otherwise
  end
  check(value, what, least)
  if value > most then
    raise("type", ("%s must be at most %s, got %s"):format(what, most, value))
  end
  return value
end

-- "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]:53"
local function is_server(text)
  local host, port = text:match("^%[(.+)%]:?(%d*)$")
  if not host then
    host, port = text:match("^([^:]+):(%d+)$")
  end
  return core.numeric_address(host or text) ~= nil
    and (not tonumber(port) or tonumber(port) >= 1 and tonumber(port) <= 65535)
end

local function servers_of(opts)
  local servers = check_list(opts.servers, "resolver: servers")
  if not servers then
    return nil
  elseif #servers == 0 then
    raise("type", "resolver: servers is empty")
  end
  for _, server in ipairs(servers) do
    if not is_server(server) then
      raise("type", ("resolver: %q is no numeric address, with or without a port")
        :format(server))
    end
  end
  return table.concat(servers, ",")
end

local function check_cares(opts)
  for _, name in ipairs({ "servers", "search", "ndots", "timeout", "tries" }) do
    if opts[name] ~= nil and not core.has_cares then
      raise("state", ("resolver: the option %s needs c-ares, without which this weft was built")
        :format(name), { code = "no_cares" })
    end
  end
end

local function settings_of(opts)
  check_cares(opts)
  return {
    servers = servers_of(opts),
    search = check_list(opts.search, "resolver: search"),
    ndots = bounded(opts.ndots, nil, "resolver: ndots", 0, NDOTS_MAX, options.count),
    tries = bounded(opts.tries, TRIES, "resolver: tries", 1, TRIES_MAX, options.count),
    timeout_ms = math.ceil(1000 * bounded(opts.timeout, TIMEOUT, "resolver: timeout", 0.001,
      TIMEOUT_MAX, options.number)),
  }
end

---Makes a resolver.
---
---Raises `type` for options that cannot be; `state`, code "no_cares", for `servers`, `search`,
---`ndots`, `timeout` and `tries` where weft was built without c-ares.
---@param opts weft.ResolverOptions?
---@return weft.Resolver
function M.resolver(opts)
  opts = options.check(opts, OPTIONS, "resolver")
  return setmetatable({
    _settings = settings_of(opts),
    _states = setmetatable({}, { __mode = "k" }), -- one for each loop
    _family = check_family(opts.family, "resolver"),
    _cache_ttl = options.number(opts.cache_ttl or TTL_MAX, "resolver: cache_ttl", 0),
    _negative_ttl = options.number(opts.negative_ttl or NEGATIVE_TTL, "resolver: negative_ttl", 0),
    _cache_size = options.count(opts.cache_size or CACHE_SIZE, "resolver: cache_size", 0),
  }, Resolver)
end

local default

---The addresses of a host, by the resolver that all of weft uses unless it is told otherwise;
---see `resolver:resolve`.
---
---Raises as `resolver:resolve`.
---@async
---@param host string?
---@param port (integer | string)? 0 to 65535; default 0
---@param opts {family: string?, passive: boolean?, numeric: boolean?}? `family`: "inet" or "inet6"
---@return weft.Address[] addresses one or more
function M.getaddrinfo(host, port, opts)
  default = default or M.resolver()
  return default:resolve(host, port, opts)
end

return M
