{{/*
What the operator may do: the table of operator/README.md, row by row. Nothing on namespaces, nodes
or CustomResourceDefinitions; Secrets may be created and never read.
*/}}
{{- define "radixloom.rights" -}}
- apiGroups: [serving.radixloom.dev]
  resources: [llmservices]
  verbs: [get, list, watch]
- apiGroups: [serving.radixloom.dev]
  resources: [llmservices/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [list, create, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
