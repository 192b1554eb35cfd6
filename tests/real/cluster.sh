# shellcheck shell=bash
# A Kubernetes control plane on loopback: etcd and kube-apiserver. Sourced. There is no kubelet and no controller: the
# tests create pods as objects and write their status as a kubelet would.

start_etcd() {
  local client peer
  client=http://127.0.0.1:$(free_port)
  peer=http://127.0.0.1:$(free_port)
  start etcd etcd --data-dir "$work/etcd" --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
  etcd_url=$client
}

# A certificate authority, as a cluster has, and a certificate for the API server.
make_certificates() {
  local new=(openssl req -newkey rsa:2048 -nodes -sha256)
  "${new[@]}" -x509 -days 2 -subj /CN=kubernetes -keyout "$work/ca.key" -out "$work/ca.crt"
  "${new[@]}" -subj /CN=kube-apiserver -keyout "$work/apiserver.key" -out "$work/apiserver.csr"
  openssl x509 -req -days 2 -in "$work/apiserver.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial \
    -extfile <(echo "subjectAltName=IP:127.0.0.1,DNS:kubernetes.default.svc") -out "$work/apiserver.crt"
  openssl genrsa -out "$work/service-account.key" 2048
} 2>>"$work/openssl.log"

prepare_apiserver() {
  make_certificates
  admin_token=$(openssl rand -hex 16)
  echo "$admin_token,admin,admin,system:masters" >"$work/tokens.csv"
  api_port=$(free_port)
  cat >"$work/kubeconfig" <<YAML
{apiVersion: v1, kind: Config, current-context: real,
 clusters: [{name: real, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority: $work/ca.crt}}],
 users: [{name: admin, user: {token: $admin_token}}],
 contexts: [{name: real, context: {cluster: real, user: admin}}]}
YAML
}

kubectl() { "$kubectl" --kubeconfig="$work/kubeconfig" --cache-dir="$work/kubectl" "$@"; }

# The API server does not accept loopback as the advertised address, so it gets one that nobody has and nobody uses.
# The admission plugin `ServiceAccount` requires a default service account in each namespace, which only a controller
# would create.
start_apiserver() {
  start kube-apiserver "$apiserver" --etcd-servers="$etcd_url" \
    --bind-address=127.0.0.1 --secure-port="$api_port" \
    --advertise-address=192.0.2.1 --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/16 \
    --tls-cert-file="$work/apiserver.crt" --tls-private-key-file="$work/apiserver.key" --cert-dir="$work" \
    --token-auth-file="$work/tokens.csv" --authorization-mode=RBAC \
    --service-account-issuer=https://kubernetes.default.svc \
    --service-account-signing-key-file="$work/service-account.key" \
    --service-account-key-file="$work/service-account.key" \
    --disable-admission-plugins=ServiceAccount
}

# api TOKEN METHOD PATH [CURL-OPTION...]: prints the body of the response, and its status code on the last line.
# The user agent is not curl's, because for curl the server indents its JSON with a library that crashes if it was built
# with a Go after 1.17.
api() {
  local token=$1 method=$2 path=$3
  shift 3
  curl -sS --max-time 10 --user-agent tests-real --cacert "$work/ca.crt" -H "Authorization: Bearer $token" \
    -w '\n%{http_code}\n' -X "$method" "https://127.0.0.1:$api_port$path" "$@"
}

api_status() { api "$@" | tail -n 1; }

# create_pod NAMESPACE NAME IP: reads labels, annotations and containers from standard input, as a pod template in JSON.
# The pod is bound to a node as if it had been scheduled, so that deleting it leaves it terminating.
create_pod() {
  jq --arg namespace "$1" --arg name "$2" '. + {apiVersion: "v1", kind: "Pod"}
      | .metadata += {namespace: $namespace, name: $name} | .spec.nodeName = "node"' |
    kubectl create -f - >/dev/null
  api_status "$admin_token" PATCH "/api/v1/namespaces/$1/pods/$2/status" \
    -H 'Content-Type: application/merge-patch+json' \
    --data "{\"status\": {\"phase\": \"Running\", \"podIP\": \"$3\", \"podIPs\": [{\"ip\": \"$3\"}]}}"
}

service_account_dir() { echo "$root/var/run/secrets/kubernetes.io/serviceaccount"; }

# Mounts the service account as a kubelet does. Its path is fixed, so it is created on this machine for the time of the
# run, or in the image's root. A directory of somebody else, or of another run, is left alone.
mount_service_account() {
  local namespace=$1 account=$2 service_account_dir owner
  service_account_dir=$(service_account_dir)
  owner=$service_account_dir/.made-by-tests-real
  [[ ! -e $service_account_dir || (-e $owner && ! -d /proc/$(<"$owner")) ]] ||
    { echo "$service_account_dir exists, and not as a remnant of an earlier run"; return 1; }
  mkdir -p "$service_account_dir"
  echo $$ >"$owner"
  kubectl create --raw "/api/v1/namespaces/$namespace/serviceaccounts/$account/token" -f - \
    <<<'{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}' |
    jq -j .status.token >"$service_account_dir/token"
  cp "$work/ca.crt" "$service_account_dir/ca.crt"
  printf %s "$namespace" >"$service_account_dir/namespace"
}

unmount_service_account() {
  local service_account_dir owner
  service_account_dir=$(service_account_dir)
  owner=$service_account_dir/.made-by-tests-real
  [[ -e $owner && $(<"$owner") == $$ ]] || return 0
  rm -r "$service_account_dir"
  # Also removes the directories above it, if they are empty.
  rmdir -p "${service_account_dir%/*}" 2>/dev/null || true
}
