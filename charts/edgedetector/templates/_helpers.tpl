{{- define "edgedetector.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "edgedetector.selector" -}}
app.kubernetes.io/name: edgedetector-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "edgedetector.labels" -}}
{{ include "edgedetector.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: edgedetector
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "edgedetector.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "edgedetector.fullname" .) -}}
{{- end -}}

{{/* Takes a dict of image (repository, tag, digest) and version. */}}
{{- define "edgedetector.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .version) -}}
{{- end -}}
{{- end -}}
