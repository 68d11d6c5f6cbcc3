local suspended = obj.spec.suspend == true
local tuned = obj.spec.tuning == nil or obj.spec.tuning.mode ~= "Off"
local frozen = false
if obj.metadata.annotations ~= nil then
  frozen = obj.metadata.annotations["edgedetector.dev/tuning"] == "Frozen"
end

local actions = {}
actions["pause"] = {["disabled"] = suspended}
actions["resume"] = {["disabled"] = not suspended}
actions["retune"] = {["disabled"] = suspended or frozen or not tuned}
actions["freeze"] = {["disabled"] = frozen or not tuned}
actions["unfreeze"] = {["disabled"] = not frozen}
return actions
