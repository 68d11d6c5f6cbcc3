{{/* Name of the objects. A Service's may have 63 characters, of which the longest suffix, "-node-exporter", takes 14. */}}
{{- define "edgedetector.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 49 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 49 | trimSuffix "-" -}}
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
{{- $name := .Values.serviceAccount.name -}}
{{- if .Values.serviceAccount.create -}}
{{- $name | default (include "edgedetector.fullname" .) -}}
{{- else -}}
{{- required "values: serviceAccount.name is empty and serviceAccount.create is false; name an account that exists" $name -}}
{{- end -}}
{{- end -}}

{{/* Takes a dict of image (repository, tag, digest), version and root; the operator does the same with profiles' images. */}}
{{- define "edgedetector.image" -}}
{{- $repository := .image.repository -}}
{{- $tag := .image.tag | default .version -}}
{{- $digest := .image.digest | default (get (.root.Values.imageDigests | default dict) (printf "%s:%s" $repository $tag)) -}}
{{- with .root.Values.global.imageRegistry -}}
{{- $head := splitList "/" $repository | first -}}
{{- if and (contains "/" $repository) (or (contains "." $head) (contains ":" $head) (eq $head "localhost")) -}}
{{- $repository = trimPrefix (printf "%s/" $head) $repository -}}
{{- end -}}
{{- $repository = printf "%s/%s" . $repository -}}
{{- end -}}
{{- if $digest -}}
{{- printf "%s@%s" $repository $digest -}}
{{- else -}}
{{- printf "%s:%s" $repository $tag -}}
{{- end -}}
{{- end -}}

{{/* What the operator runs instead of what profiles name, as JSON: the digests, and above them the replacements. */}}
{{- define "edgedetector.imageReplacements" -}}
{{- $found := dict -}}
{{- range $image, $digest := .Values.imageDigests -}}
{{- $named := dict "repository" (regexReplaceAll ":[^:/]+$" $image "") "digest" $digest -}}
{{- $_ := set $found $image (include "edgedetector.image" (dict "image" $named "version" "" "root" $)) -}}
{{- end -}}
{{- mergeOverwrite $found (.Values.imageReplacements | default dict) | toJson -}}
{{- end -}}

{{- define "edgedetector.operatorImage" -}}
{{- include "edgedetector.image" (dict "image" .Values.image "version" .Chart.AppVersion "root" .) -}}
{{- end -}}

{{/* Names of the pull secrets, with commas. */}}
{{- define "edgedetector.pullSecrets" -}}
{{- $names := list -}}
{{- range .Values.imagePullSecrets -}}{{- $names = append $names .name -}}{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{/* Takes a dict of enabled (auto, true or false), kind and root: "true" or "". */}}
{{- define "edgedetector.wanted" -}}
{{- $served := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- $enabled := toString .enabled -}}
{{- if or (eq $enabled "true") (and (eq $enabled "auto") $served) -}}true{{- end -}}
{{- end -}}

{{/* Whether the Prometheus Operator is to scrape: "true" or "". */}}
{{- define "edgedetector.monitored" -}}
{{- include "edgedetector.wanted" (dict "enabled" .Values.serviceMonitor.enabled "kind" "ServiceMonitor" "root" .) -}}
{{- end -}}

{{- define "edgedetector.nodeExporterSelector" -}}
app.kubernetes.io/name: edgedetector-node-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "edgedetector.nodeExporterLabels" -}}
{{ include "edgedetector.nodeExporterSelector" . }}
app.kubernetes.io/component: node-exporter
app.kubernetes.io/part-of: edgedetector
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Who may scrape, as peers of a NetworkPolicy. */}}
{{- define "edgedetector.prometheus" -}}
{{- range .Values.networkPolicy.prometheusNamespaces }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end }}
{{- end -}}

{{/* Permissions in namespaces: in all of them, or in those that are watched and the operator's own. */}}
{{- define "edgedetector.rules" -}}
# What users write, and where the operator answers.
- apiGroups: [edgedetector.dev]
  resources: [edgedetectors]
  verbs: [get, list, watch]
- apiGroups: [edgedetector.dev]
  resources: [edgedetectors/status]
  verbs: [patch]
# Children of an EdgeDetector, in its namespace.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
# Tests of a profile on the card, when somebody asks for one.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors, prometheusrules]
  verbs: [list, watch, create, patch, delete]
# The words of scheduler and kubelet, and the annotation that makes a kubelet refresh a ConfigMap volume.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [list, watch]
# What a kubelet cannot mount it says in Events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
