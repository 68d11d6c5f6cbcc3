-- Any new text has tuning look anew; what is accepted serves on meanwhile.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["edgedetector.dev/retune"] = "Argo CD, " .. os.date("!%Y-%m-%dT%XZ")
return obj
