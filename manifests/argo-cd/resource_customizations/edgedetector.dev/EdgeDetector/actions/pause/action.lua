-- Nothing runs any more; configuration, status and what tuning found stay.
obj.spec.suspend = true
return obj
