-- Healthy only while detections flow. Degraded when somebody has to act, with the message that says what helps.
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

-- Not spec.suspend: of a suspended detector that is wrong, what is wrong matters more.
if ready ~= nil and ready.reason == "Suspended" then
  return {status = "Suspended", message = ready.message}
end
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
