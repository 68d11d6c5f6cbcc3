-- Health of an Application within an Application (root.yaml): without it, waves would not wait for each other.
if obj.status == nil or obj.status.health == nil or obj.status.health.status == nil then
  return {status = "Progressing", message = ""}
end
return {status = obj.status.health.status, message = obj.status.health.message or ""}
