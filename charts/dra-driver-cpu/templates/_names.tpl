{{- define "dracpu.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Carries the release's name, also where it names things of the whole cluster. A Job's name is a label of its pods, so has at most 63 characters, and the longest
     that is made of this one is FULLNAME-uninstall-check. */}}
{{- define "dracpu.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- else if contains (include "dracpu.name" .) .Release.Name }}
{{- .Release.Name | trunc 47 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "dracpu.name" .) | trunc 47 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "dracpu.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dracpu.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end }}

{{- define "dracpu.labels" -}}
{{ include "dracpu.commonLabels" . }}
app.kubernetes.io/component: node
{{- end }}

{{- define "dracpu.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "dracpu.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "dracpu.driverImage" -}}
{{- .Values.driver.image | default (printf "%s/driver:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion)) }}
{{- end }}

{{- define "dracpu.agentImage" -}}
{{- .Values.agent.image | default (printf "%s/nri-agent:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion)) }}
{{- end }}

{{/* Drivers listen on sockets below the kubelet's directory; a path of a socket has at most 107 bytes. */}}
{{- define "dracpu.kubeletRootDir" -}}
{{- $dir := clean .Values.kubeletRootDir }}
{{- if gt (len (printf "%s/plugins_registry/.dra.cpu-reg.sock" $dir)) 107 }}
{{- fail (printf "kubeletRootDir %s is too long: the kubelet's sockets of this driver would have more than 107 bytes" $dir) }}
{{- end }}
{{- $dir }}
{{- end }}

{{- define "dracpu.driverConfig" -}}
{{- $paths := dict
  "kubeletRootDir" (include "dracpu.kubeletRootDir" .)
  "cdiDir" .Values.cdiDir
  "agentSocket" "/run/dra-driver-cpu/control/control.sock"
  "inspectSocket" "/run/dra-driver-cpu/inspect/inspect.sock"
  "stateDir" "/var/lib/dra-driver-cpu/driver"
  "bindAddress" (printf ":%d" (int .Values.driver.port)) }}
{{- $perNode := list }}
{{- range .Values.config.perNode }}
{{- if .settings }}{{ $perNode = append $perNode (pick . "matchLabels" "settings") }}{{ end }}
{{- end }}
{{- with $perNode }}{{ $_ := set $paths "perNode" . }}{{ end }}
{{- merge $paths .Values.config.driver | toYaml }}
{{- end }}

{{- define "dracpu.agentPerNode" -}}
{{- $perNode := list }}
{{- range .Values.config.perNode }}
{{- if .agent }}{{ $perNode = append $perNode (dict "matchLabels" .matchLabels "settings" .agent) }}{{ end }}
{{- end }}
{{- toJson $perNode }}
{{- end }}

{{- define "dracpu.agentConfig" -}}
{{- $paths := dict
  "nriSocket" (printf "%s/%s" .Values.nriDir .Values.nriSocket)
  "controlSocket" "/run/dra-driver-cpu/control/control.sock"
  "inspectSocket" "/run/dra-driver-cpu/inspect/inspect.sock"
  "stateDir" "/var/lib/dra-driver-cpu/agent"
  "cgroupRoot" "/host/cgroup"
  "bindAddress" (printf ":%d" (int .Values.agent.port)) }}
{{- if .Values.agent.hostProc }}{{ $_ := set $paths "hostProc" "/host/proc" }}{{ end }}
{{- with fromJsonArray (include "dracpu.agentPerNode" .) }}{{ $_ := set $paths "perNode" . }}{{ end }}
{{- merge $paths .Values.config.agent | toYaml }}
{{- end }}

{{/* Root, because the kubelet's, the runtime's and the cgroups' files are root's, and nothing else: no capability is needed to write one's own files. The agent
     adds SYS_ADMIN, without which the kernel makes no cpuset partition of a container. */}}
{{- define "dracpu.securityContext" -}}
runAsUser: 0
runAsGroup: 0
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "dracpu.podSecurityContext" -}}
seccompProfile: { type: RuntimeDefault }
{{- with .Values.seLinuxOptions }}
seLinuxOptions: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "dracpu.driverEnv" -}}
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
# For who looks by kubectl exec.
- { name: DRACPU_CONFIG, value: /etc/dracpu/driver.yaml }
{{- with .Values.driver.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The agent starts before the driver and may not ask the API server: what its settings by label go by is fetched for it. Of root: the chart's; perNode: the entries. */}}
{{- define "dracpu.nodeLabels" -}}
{{- $keys := list }}
{{- range .perNode }}{{ $keys = concat $keys (keys .matchLabels) }}{{ end -}}
{{- with .root -}}
name: node-labels
image: {{ include "dracpu.driverImage" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - node-labels
  - --config=/etc/dracpu/driver.yaml
  - --to=/var/lib/dra-driver-cpu/agent
  {{- range $keys | uniq | sortAlpha }}
  - {{ printf "--label=%s" . | quote }}
  {{- end }}
  {{- range .Values.driver.extraArgs }}
  - {{ . | quote }}
  {{- end }}
env: {{- include "dracpu.driverEnv" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
resources: {{- toYaml .Values.driver.resources | nindent 2 }}
securityContext: {{- include "dracpu.securityContext" . | nindent 2 }}
volumeMounts:
  - { name: config, mountPath: /etc/dracpu, readOnly: true }
  - { name: agent-state, mountPath: /var/lib/dra-driver-cpu/agent }
  - { name: token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The agent, as a sidecar that starts before the driver and stops after it. */}}
{{- define "dracpu.agentContainer" -}}
name: nri-agent
image: {{ include "dracpu.agentImage" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
restartPolicy: Always
args:
  - run
  - --config=/etc/dracpu/agent.yaml
  {{- range .Values.agent.extraArgs }}
  - {{ . | quote }}
  {{- end }}
env:
  - name: POD_UID
    valueFrom: { fieldRef: { fieldPath: metadata.uid } }
  - { name: DRACPU_CONFIG, value: /etc/dracpu/agent.yaml }
  {{- with .Values.agent.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - { name: agent-http, containerPort: {{ .Values.agent.port }} }
{{- include "dracpu.probes" (dict "probes" .Values.agent "port" "agent-http") }}
resources: {{- toYaml .Values.agent.resources | nindent 2 }}
securityContext:
  {{- $capabilities := ternary "drop: [ALL], add: [SYS_ADMIN]" "drop: [ALL]" .Values.agent.partitions }}
  {{- include "dracpu.securityContext" . | replace "drop: [ALL]" $capabilities | nindent 2 }}
volumeMounts:
  - { name: config, mountPath: /etc/dracpu, readOnly: true }
  - { name: control, mountPath: /run/dra-driver-cpu/control }
  - { name: inspect, mountPath: /run/dra-driver-cpu/inspect }
  - { name: agent-state, mountPath: /var/lib/dra-driver-cpu/agent }
  # One connects to a socket also where nothing can be written.
  - { name: nri, mountPath: {{ .Values.nriDir }}, readOnly: true }
  - { name: cgroup, mountPath: /host/cgroup }
  {{- if .Values.agent.hostProc }}
  - { name: proc, mountPath: /host/proc, readOnly: true }
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Startup and liveness ask for the process's own loop. */}}
{{- define "dracpu.probes" }}
startupProbe:
  httpGet: { path: /healthz, port: {{ .port }} }
  {{- toYaml .probes.startupProbe | nindent 2 }}
livenessProbe:
  httpGet: { path: /healthz, port: {{ .port }} }
  {{- toYaml .probes.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet: { path: /readyz, port: {{ .port }} }
  {{- toYaml .probes.readinessProbe | nindent 2 }}
{{- end }}

{{/* Bound to the pod and its node, for the container that needs it alone. */}}
{{- define "dracpu.tokenVolume" -}}
name: token
projected:
  defaultMode: 0400
  sources:
    - serviceAccountToken: { path: token, expirationSeconds: 3607 }
    - configMap:
        name: kube-root-ca.crt
        items: [{ key: ca.crt, path: ca.crt }]
    - downwardAPI:
        items: [{ path: namespace, fieldRef: { fieldPath: metadata.namespace } }]
{{- end }}

{{/* Directories of the node that the agent writes. */}}
{{- define "dracpu.agentVolumes" -}}
- name: config
  configMap: { name: {{ .configMap }} }
- name: control
  emptyDir: { medium: Memory, sizeLimit: 1Mi }
- name: inspect
  hostPath: { path: {{ .Values.runDir }}/inspect, type: DirectoryOrCreate }
- name: agent-state
  hostPath: { path: {{ .Values.stateDir }}/agent, type: DirectoryOrCreate }
- name: nri
  # It may come later: a node without it is told of, and nothing waits for it.
  hostPath: { path: {{ .Values.nriDir }}, type: DirectoryOrCreate }
- name: cgroup
  hostPath: { path: {{ .Values.cgroupDir }}, type: Directory }
{{- if .Values.agent.hostProc }}
- name: proc
  hostPath: { path: /proc, type: Directory }
{{- end }}
{{- end }}

{{/* Directories of the node that the driver writes. */}}
{{- define "dracpu.driverVolumes" -}}
- name: driver-state
  hostPath: { path: {{ .Values.stateDir }}/driver, type: DirectoryOrCreate }
- name: cdi
  hostPath: { path: {{ .Values.cdiDir }}, type: DirectoryOrCreate }
- name: plugin
  hostPath: { path: {{ include "dracpu.kubeletRootDir" . }}/plugins/dra.cpu, type: DirectoryOrCreate }
- name: registry
  hostPath: { path: {{ include "dracpu.kubeletRootDir" . }}/plugins_registry, type: DirectoryOrCreate }
{{- end }}

{{/* Where the driver's pods are: on Linux, and on what somebody chose among that; those that clean the nodes are on the same. */}}
{{- define "dracpu.placement" -}}
nodeSelector: {{- merge (dict "kubernetes.io/os" "linux") (.Values.nodeSelector | default dict) | toYaml | nindent 2 }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
