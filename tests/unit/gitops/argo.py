"""What Argo CD does with our Lua, in plain Lua 5.1: health, which actions there are, and what an action changes.

Modelled on Argo CD's `util/lua/lua.go`: scripts find the resource in the global `obj` and have the base library, tables
and, if they require it, an `os` that knows dates alone. A table without entries comes back as a list, for which Argo CD
puts what was there before. What an action returns goes to the API server as a JSON merge patch against the live
resource.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from lupa import lua51

Json = dict[str, Any]

ROOT: Final = Path(__file__).parents[3]
ARGO_CD: Final = ROOT / "manifests" / "argo-cd"
CUSTOMIZATIONS: Final = ARGO_CD / "resource_customizations" / "edgedetector.dev"
KINDS: Final = ("EdgeDetector", "AcceleratorProfile")
ACTIONS: Final = ("pause", "resume", "retune", "freeze", "unfreeze")

_SANDBOX: Final = """
local safe = {date = os.date, time = os.time}
for _, name in ipairs({"io", "os", "debug", "math", "string", "coroutine", "python"}) do
  _G[name], package.loaded[name] = nil, nil
end
dofile, loadfile = nil, nil
package.loaded.os = safe
getmetatable("").__index = nil
"""


def health(kind: str, obj: Json) -> Json:
    """Return status and message."""
    return _plain(_run((CUSTOMIZATIONS / kind / "health.lua").read_text(), obj))


def actions(obj: Json) -> dict[str, bool]:
    """Return the name of each action -> whether it is disabled."""
    found = _plain(_run((CUSTOMIZATIONS / "EdgeDetector" / "actions" / "discovery.lua").read_text(), obj))
    return {name: entry["disabled"] for name, entry in found.items()}


def acted(action: str, obj: Json) -> Json:
    """Return the resource as the API server has it after an action."""
    script = (CUSTOMIZATIONS / "EdgeDetector" / "actions" / action / "action.lua").read_text()
    returned = _cleaned(_plain(_run(script, obj)), obj)
    return _merged(obj, _merge_patch(obj, returned))


def read(path: Path) -> Any:
    """Return what a YAML file holds."""
    return yaml.safe_load(path.read_text())


def _run(script: str, obj: Json) -> Any:
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_SANDBOX)
    lua.globals().obj = _table(lua, obj)
    return lua.execute(script)


def _table(lua: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return lua.table_from({key: _table(lua, item) for key, item in value.items()})
    if isinstance(value, list):
        return lua.table_from([_table(lua, item) for item in value])
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _plain(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return int(value) if isinstance(value, float) and value.is_integer() else value
    items = {key: _plain(item) for key, item in value.items()}
    if set(items) == set(range(1, len(items) + 1)):  # also of an empty one
        return [items[index] for index in sorted(items)]
    return items


def _cleaned(new: Any, old: Any) -> Any:
    """Undo what Lua made of empty objects: `cleanReturnedObj`."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _cleaned(value, old[key]) if key in old else value for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [_cleaned(value, old[index]) if index < len(old) else value for index, value in enumerate(new)]
    return old if new == [] and isinstance(old, dict) else new


def _merge_patch(old: Json, new: Json) -> Json:
    patch: Json = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        if key in old and isinstance(value, dict) and isinstance(old[key], dict):
            if below := _merge_patch(old[key], value):
                patch[key] = below
        elif key not in old or old[key] != value:
            patch[key] = value
    return patch


def _merged(old: Json, patch: Json) -> Json:
    """Apply a merge patch: RFC 7386."""
    result = copy.deepcopy(old)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged(result[key] if isinstance(result.get(key), dict) else {}, value)
        else:
            result[key] = value
    return result
