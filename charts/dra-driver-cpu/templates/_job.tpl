{{/* Where a pod may run that is on no node in particular. */}}
{{- define "dracpu.jobTolerations" -}}
{{- with .Values.jobs.tolerations -}}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* As whom a pod runs that is on no node in particular; nothing where the cluster says it. A release that is upgraded with --reuse-values may have no such value. Of root:
     the chart's; fields of a security context. */}}
{{- define "dracpu.jobUser" -}}
{{- $user := ternary .root.Values.jobs.user 65534 (hasKey .root.Values.jobs "user") -}}
{{- if ne (toString $user) "" }}
{{- range .fields }}
{{ . }}: {{ int64 $user }}
{{- end }}
{{- end }}
{{- end }}

{{/* What belongs to one step of an uninstallation, as charts/uninstall.sh chooses it. Of root: the chart's; step. */}}
{{- define "dracpu.stepLabels" -}}
{{ include "dracpu.commonLabels" .root }}
app.kubernetes.io/component: {{ .step }}
{{- end }}

{{/* A Job that asks the API server and no node. Of root: the chart's; step; name; account; args; hook. */}}
{{- define "dracpu.job" -}}
{{- $root := .root -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "dracpu.stepLabels" . | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .hook }}
    helm.sh/hook-weight: "10"
    # What failed stays, and its log says why.
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  backoffLimit: 0
  activeDeadlineSeconds: {{ add $root.Values.uninstall.timeoutSeconds 60 }}
  template:
    metadata:
      labels: {{- include "dracpu.stepLabels" . | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ .account }}
      automountServiceAccountToken: false
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- with include "dracpu.jobUser" (dict "root" $root "fields" (list "runAsUser" "runAsGroup" "fsGroup")) }}
        {{- trim . | nindent 8 }}
        {{- end }}
        runAsNonRoot: true
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: uninstall
          image: {{ include "dracpu.driverImage" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: {{- toYaml .args | nindent 12 }}
          terminationMessagePolicy: FallbackToLogsOnError
          resources: { requests: { cpu: 10m, memory: 64Mi } }
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
          volumeMounts:
            - { name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
      volumes:
        - {{- include "dracpu.tokenVolume" $root | nindent 10 }}
      nodeSelector: { kubernetes.io/os: linux }
      {{- include "dracpu.jobTolerations" $root | nindent 6 }}
{{- end }}

{{/* What a Job may do, while it is there: an account, its rights in the cluster and those in the release's namespace. Of root: the chart's; step; name; hook; cluster
     and local, the rules. */}}
{{- define "dracpu.jobAccount" -}}
{{- $root := .root -}}
{{- $annotations := dict "helm.sh/hook" .hook "helm.sh/hook-weight" "-10" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
{{- $meta := printf "labels:\n  %s\nannotations:\n  %s" (include "dracpu.stepLabels" . | nindent 2 | trim) (toYaml $annotations | nindent 2 | trim) }}
{{- $subjects := printf "subjects: [{ kind: ServiceAccount, name: %s, namespace: %s }]" .name $root.Release.Namespace -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  {{- $meta | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
  {{- $meta | nindent 2 }}
rules: {{- .cluster | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  {{- $meta | nindent 2 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .name }} }
{{ $subjects }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  {{- $meta | nindent 2 }}
rules: {{- .local | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  {{- $meta | nindent 2 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ .name }} }
{{ $subjects }}
{{- end }}
