-- An empty table becomes an empty list on the way back to JSON, for which Argo CD then puts what was there before. So the
-- last annotation goes with the whole table.
if obj.metadata.annotations ~= nil then
  obj.metadata.annotations["edgedetector.dev/tuning"] = nil
  if next(obj.metadata.annotations) == nil then
    obj.metadata.annotations = nil
  end
end
return obj
