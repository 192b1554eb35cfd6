# Prints each violation of the *restricted* Pod Security Standard in a list of workloads, one word a line. Does not look
# at host namespaces.
def allowed_volumes: ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
.items[] | .metadata.name as $name | .spec.template.spec as $pod
| ($pod.containers[] | . as $container | ($pod.securityContext + .securityContext)
   | (select(.runAsNonRoot != true) | "runAsNonRoot"),
     (select(.runAsUser == 0) | "runAsUser"),
     (select(.allowPrivilegeEscalation != false) | "allowPrivilegeEscalation"),
     (select(.capabilities != {drop: ["ALL"]}) | "capabilities"),
     (select(.seccompProfile.type != "RuntimeDefault") | "seccompProfile"),
     ($container.ports[]? | select(.hostPort) | "hostPort")
   | "\($name)/\($container.name):\(.)"),
  ($pod.volumes[]? | (keys - ["name"] - allowed_volumes)[] | "\($name):\(.)"),
  ($pod | select(.hostNetwork or .hostPID or .hostIPC) | "\($name):host-namespaces")
