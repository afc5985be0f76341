{{/* Names and labels that every object of the chart shares. */}}

{{- define "radixloom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{ printf "%s-operator" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s-operator" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "radixloom.serviceAccountName" -}}
{{ default (include "radixloom.fullname" .) .Values.serviceAccount.name }}
{{- end -}}

{{- define "radixloom.selectorLabels" -}}
app.kubernetes.io/name: radixloom-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "radixloom.labels" -}}
{{ include "radixloom.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: radixloom
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "radixloom.image" -}}
{{ .image.repository }}:{{ default .appVersion .image.tag }}
{{- end -}}
