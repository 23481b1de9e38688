-- SPDX-License-Identifier: MIT
-- weft.html.forms: what a browser would send: the entries of a form by the HTML Standard, as it
-- is and as it was filled in.

local html = require "weft.html"
local support = require "spec.weft.html.support"

local BASE = { url = "http://a.example/dir/page?old" }

local function form_of(text)
  return html.parse(text, BASE):forms()[1]
end

local function data(text, values, opts)
  local parts = {}
  for i, entry in ipairs(form_of(text):data(values, opts)) do
    parts[i] = entry[1] .. "=" .. entry[2]
  end
  return table.concat(parts, "&")
end

describe("a form", function()
  it("says where it goes, and how", support.documents(function()
    local form = form_of('<form id=i name=n action="../x" method=Post enctype=Multipart/Form-Data>')
    assert.same({ "http://a.example/x", "POST", "multipart/form-data", "i", "n" }, { form.action,
      form.method, form.enctype, form.id, form.name })
    assert.equal("Form<POST http://a.example/x>", tostring(form))
    form = form_of("<form method=put enctype=x>")
    assert.same({ BASE.url, "GET", "application/x-www-form-urlencoded" }, { form.action,
      form.method, form.enctype })
    form = html.parse("<form action=x>"):forms()[1]
    assert.is_nil(form.action)
    support.raises("state", form.request, form)
    form = form_of("<form method=dialog>")
    support.raises("state", form.request, form)
  end))

  it("sends its controls' values, as they are", support.documents(function()
    assert.equal("a=1&b=&c=x\r\ny&d= z ", data([[<form><input name=a value=1><input name=b>
      <textarea name=c>
x
y</textarea><input name=d type=hidden value=" z "><input value=none><input name="" value=1>]]))
    assert.equal("a=ab", data("<form><input name=a value='a&#10;b'>"))
    assert.equal("_charset_=UTF-8", data("<form><input type=hidden name=_charset_>"))
    assert.equal("f=", data("<form><input type=file name=f value=x>"))
    assert.equal("n=x", data("<form><input type=unknown name=n value=x>"))
  end))

  it("sends what is checked", support.documents(function()
    assert.equal("a=on&c=v", data([[<form><input type=checkbox name=a checked>
      <input type=checkbox name=b><input type=CHECKBOX name=c value=v checked>]]))
    assert.equal("r=2", data([[<form><input type=radio name=r value=1 checked>
      <input type=radio name=r value=2 checked><input type=radio name=r value=3>]]))
  end))

  it("sends the options that are chosen", support.documents(function()
    assert.equal("s=a b", data("<form><select name=s><option> a  b <option>c</select>"))
    assert.equal("s=2", data("<form><select name=s><option value=1><option value=2 selected>"))
    assert.equal("s=3", data([[<form><select name=s><option selected value=2>
      <option selected value=3>]]))
    assert.equal("s=2", data([[<form><select name=s><option disabled value=1>
      <optgroup disabled><option value=x></optgroup><optgroup><option value=2></optgroup>]]))
    assert.equal("", data("<form><select name=s size=2><option value=1>"))
    assert.equal("", data("<form><select name=s></select>"))
    assert.equal("", data("<form><select name=s><option selected disabled value=1>"))
    assert.equal("s=1&s=3", data([[<form><select name=s multiple><option selected>1<option>2
      <option selected>3]]))
    assert.same({ "1", "2" }, form_of("<form><select name=s><option>1<option>2")
      .controls[1].options)
  end))

  it("sends nothing that is disabled", support.documents(function()
    assert.equal("l=1&z=2", data([[<form><input name=a disabled><fieldset disabled>
      <legend><input name=l value=1></legend><legend><input name=m></legend><input name=b>
      <fieldset><select name=c><option>x</select></fieldset></fieldset>
      <datalist><input name=d></datalist><input name=z value=2>]]))
  end))

  it("has controls elsewhere, and none of another form", support.documents(function()
    local doc = html.parse([[<input form=f name=x value=1><form id=f><input name=y value=2>
      <input form=g name=z></form><form id=g></form><input form=h name=w>]], BASE)
    local names = {}
    for i, form in ipairs(doc:forms()) do
      names[i] = ""
      for _, control in ipairs(form.controls) do
        names[i] = names[i] .. control.name
      end
    end
    assert.same({ "xy", "z" }, names)
  end))

  it("is sent by its first button, or another, or none", support.documents(function()
    local text = [[<form><button type=button name=no>x</button><input type=submit name=a value=1
      disabled><button name=b value=2></button><input type=submit name=c value=3>
      <input type=image name=i><input type=reset name=r>]]
    assert.equal("b=2", data(text))
    assert.equal("c=3", data(text, nil, { submit = "c" }))
    assert.equal("i.x=0&i.y=0", data(text, nil, { submit = "i" }))
    assert.equal("", data(text, nil, { submit = false }))
    local form = form_of(text)
    assert.same({ { "c", "3" } }, form:data(nil, { submit = form.controls[4].node }))
    support.raises("type", form.data, form, nil, { submit = "no" })
  end))

  it("is filled in", support.documents(function()
    local text = [[<form><input name=q value=old><input name=n value=1>
      <input type=checkbox name=c value=yes><input type=checkbox name=d checked>
      <select name=s multiple><option>1<option selected>2</select><button name=go>x</button>]]
    assert.equal("q=new&n=2&c=yes&s=1&s=3&go=&z=9", data(text, { q = "new", n = 2, c = true,
      d = false, s = { "1", 3 }, z = "9" }))
    assert.equal("q=a\r\nb&n=1&d=on&s=2&go=", data(text, { q = "a\nb" }))
    local form = form_of(text)
    support.raises("type", form.data, form, { q = print })
    support.raises("type", form.data, form, { 1 })
    support.raises("type", form.data, form, "x")
    support.raises({ "type", "unknown_option" }, form.data, form, nil, { submitt = 1 })
  end))

  it("becomes a request", support.documents(function()
    local text = "<form action='/s?gone#f' %s><input name=q value='a b'><button formaction=/t>x"
    local form = form_of(text:format(""))
    assert.same({ "GET", "http://a.example/t?q=%C3%A9" }, { form:request({ q = "é" }) })
    assert.same({ "GET", "http://a.example/s?q=a+b#f" }, { form:request(nil,
      { submit = false }) })
    form = form_of(text:format("method=post"))
    assert.same({ "POST", "http://a.example/t", { data = "q=a+b",
      headers = { ["Content-Type"] = "application/x-www-form-urlencoded" } } },
      { form:request() })
    form = form_of(text:format("method=post enctype=text/plain"))
    assert.same({ data = "q=a b\r\n", headers = { ["Content-Type"] = "text/plain" } },
      (select(3, form:request())))
    form = form_of("<form method=post enctype=multipart/form-data><input name=q value=1>")
    if pcall(require, "weft.http.multipart") then
      assert.is_not_nil(select(3, form:request()).data)
    end
    form = form_of("<form><input name=q><button formmethod=post formenctype=text/plain>x")
    assert.equal("POST", (form:request()))
  end))
end)
