-- What serves stays as it is: nothing is tried, a trial that runs is ended.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["edgedetector.dev/tuning"] = "Frozen"
return obj
