-- SPDX-License-Identifier: MIT
-- weft.http.download: a response into a file, and going on where one was broken off.
--
-- Owns: when the rest of a file may be asked for, and what the answer to that means.
-- Must not know: how files are written (weft.http.savefile), how requests are sent.
-- Invariant: bytes of two versions of a resource never come into one file: the rest is taken only
-- with a validator that both have, and only of what was not compressed.

local await = require "weft.await"
local errors = require "weft.error"
local options = require "weft.options"
local retry = require "weft.http.retry"
local savefile = require "weft.http.savefile"

local M = {}

local OPTIONS = { fsync = true, perms = true, on_progress = true, resume = true }

local function nothing()
  return nil
end

local function is_coded(response)
  local coding = response.headers:get("content-encoding")
  return coding ~= nil and coding:lower() ~= "identity"
end

-- What tells this version from others, where its bytes can be asked for by number.
local function validator_of(response)
  local made = not is_coded(response) and response.method == "GET"
    and savefile.validator(response.headers) or nil
  if made then
    made.url = response.url
  end
  return made
end

local function is_same(a, b)
  return a.etag == b.etag and (a.etag ~= nil or a.last_modified == b.last_modified)
    and a.url == b.url
end

--- pieces of a job ------------------------------------------------------------------------

-- A job: `response`, of which the body goes to `offset` of the file; `total`, if it is known.
local function whole(response)
  local total = not is_coded(response) and response.content_length or nil
  return { response = response, offset = 0, total = total, validator = validator_of(response) }
end

local function complete(response, partial)
  response:close()
  return { response = response, offset = partial.size, total = partial.size, validator = partial,
    read = nothing }
end

-- The job of a response with the status 206, or nil if it is not what goes on with `partial`.
local function rest(response, partial)
  local range = response.headers:get("content-range")
  local first, _, total = savefile.content_range(range or "")
  local etag = response.headers:get("etag")
  if first ~= partial.size or is_coded(response) or etag and partial.etag and etag ~= partial.etag
  then
    return nil
  end
  return { response = response, offset = first, total = total, validator = partial }
end

-- Asks for what comes behind the partial file.
local function ask_for_rest(request, partial)
  local headers = savefile.request_fields(partial)
  headers["Accept-Encoding"] = "identity"
  local response = request.session:_run(request:again(headers))
  if response.status == 200 then
    return whole(response)
  elseif response.status == 206 then
    local job = rest(response, partial)
    if job then
      return job
    end
  elseif response.status == 416 then
    local _, _, total = savefile.content_range(response.headers:get("content-range") or "")
    if total == partial.size then
      return complete(response, partial)
    end
  end
  response:raise_for_status()
  response:close()
  errors.raise("protocol", ("the server answered %d to a request for the bytes from %d on, and "
    .. "not with them"):format(response.status, partial.size), { status = response.status,
    code = "bad_range", url = response.url, method = response.method })
end

-- What the response that the script has is good for: all of it, or a reason to ask for the rest.
local function first_job(response, partial)
  if response.status == 206 and partial then
    return rest(response, partial) or whole(response)
  end
  local job = whole(response)
  if response.status ~= 200 then
    job.validator = nil
  elseif partial and job.validator and is_same(job.validator, partial) then
    if partial.size == job.total then
      return complete(response, partial)
    elseif (response.headers:get("accept-ranges") or "bytes"):lower() ~= "none" then
      response:close()
      return ask_for_rest(response._request, partial)
    end
  end
  return job
end

--- saving ----------------------------------------------------------------------------------

local function write(job, path, opts)
  local read = job.read or job.response:iter_any()
  local on_progress = opts.on_progress
  return savefile.save(path, read, { fsync = opts.fsync, perms = opts.perms,
    resume = job.validator, offset = job.validator and job.offset or nil,
    on_progress = on_progress and function(size)
      return on_progress(size, job.total)
    end })
end

-- The pause before the next attempt, and what there is to go on with; nothing if there is none.
local function next_attempt(job, path, e, n)
  local request = job.response._request
  local policy = request.settings.retry
  local pause = policy and job.validator and retry.after_error(policy, request, e, n)
  local partial = pause and savefile.partial(path)
  if partial then
    return pause, partial
  end
end

local function save_resumable(response, path, opts)
  local request = response._request
  local job = first_job(response, savefile.partial(path))
  local n = 0
  while true do
    n = n + 1
    local ok, size = errors.try(write, job, path, opts)
    if ok then
      return size
    end
    job.response:close()
    local pause, partial = next_attempt(job, path, size, n)
    if not pause then
      error(size, 0)
    end
    request.session:_retried(request, size, n, pause)
    await.sleep(pause)
    job = ask_for_rest(request, partial)
  end
end

---See `weft.http.Response:save`.
---@private
---@async
function M.save(response, path, opts)
  opts = options.check(opts, OPTIONS, "save")
  if opts.on_progress ~= nil then
    options.callable(opts.on_progress, "on_progress")
  end
  if opts.resume and not response._state then
    return save_resumable(response, path, opts)
  end
  return write({ response = response, total = whole(response).total }, path, opts)
end

return M
