-- Degraded when the profile cannot be used or its exporter is held, with the message that says what helps.
if obj.status == nil or obj.status.conditions == nil then
  return {status = "Progressing", message = "the operator has not looked at it yet"}
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not looked at the present generation yet"}
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end
local ready, stalled = conditions["Ready"], conditions["Stalled"]

if stalled ~= nil and stalled.status == "True" then
  return {status = "Degraded", message = stalled.message}
end
if ready ~= nil and ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready ~= nil then
  return {status = "Progressing", message = ready.message}
end
return {status = "Progressing", message = "the operator has not judged it yet"}
