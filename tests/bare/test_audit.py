"""The reader of audit logs, on the log of a real API server."""

from __future__ import annotations

from tests import apiserver as bare
from tests.e2e import audit


def test_writes_are_counted_by_who_wrote_also_those_that_changed_nothing() -> None:
    with bare.start(audit=True) as server:
        server.kubeconfig_of("place", "somebody")
        role = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}
        metadata = {"name": "somebody", "namespace": "place"}
        subject = {"kind": "ServiceAccount", **metadata}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "somebody"}
        rbac = "rbac.authorization.k8s.io/v1"
        server.apply(
            {"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": [role]},
            {
                "apiVersion": rbac,
                "kind": "RoleBinding",
                "metadata": metadata,
                "subjects": [subject],
                "roleRef": reference,
            },
        )
        log = audit.Log(server.audit_log)
        list(log.new())

        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "place"}}
        server.apply(made)
        server.apply(made)
        server.kubectl("--as", audit.service_account("place", "somebody"), "get", "configmaps", "-n", "place")
        token = server.token("place", "somebody")
        server.kubectl("--token", token, "--kubeconfig", "/dev/null", "--server", server.url, "--certificate-authority",
                       str(server.authority), "delete", "configmap", "a", "-n", "place")  # fmt: skip
        entries = list(log.new())

    ours = audit.writes(entries, audit.service_account("place"))
    assert dict(ours) == {"system:serviceaccount:place:somebody delete configmaps place/a": 1}
    assert audit.writes(entries, "kubernetes-admin")["kubernetes-admin patch configmaps place/a"] == 2
    assert any(entry.verb == "list" and not entry.is_write for entry in entries)
