//! What the Kubernetes files name exists, in them and in the program.

use std::{path::Path, time::Duration};

use respool::{config::Config, net::Upstream};
use yaml_rust2::{Yaml, YamlLoader};

use super::{is_enough, load_with, port, text};

fn documents(file: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&text(&format!("kubernetes/{file}")))
        .unwrap_or_else(|fault| panic!("{file}: {fault}"))
}

fn of_kind<'a>(documents: &'a [Yaml], kind: &str) -> &'a Yaml {
    documents
        .iter()
        .find(|document| document["kind"].as_str() == Some(kind))
        .unwrap_or_else(|| panic!("{kind}"))
}

fn named<'a>(list: &'a Yaml, name: &str) -> &'a Yaml {
    list.as_vec()
        .unwrap()
        .iter()
        .find(|item| item["name"].as_str() == Some(name))
        .unwrap_or_else(|| panic!("{name}"))
}

/// The number of a container's port.
fn numbered(container: &Yaml, name: &str) -> u16 {
    u16::try_from(named(&container["ports"], name)["containerPort"].as_i64().unwrap()).unwrap()
}

/// The sidecar of a pod is what its configuration says, and ends in time.
fn fits(pod: &Yaml, config: &Config) {
    let sidecar = named(&pod["initContainers"], "respool");
    assert_eq!(sidecar["restartPolicy"].as_str(), Some("Always"), "else it is no sidecar");
    assert_eq!(sidecar["image"].as_str(), Some(concat!("respool:", env!("CARGO_PKG_VERSION"))));
    assert_eq!(numbered(sidecar, "respool"), port(&config.listen[0]));
    assert_eq!(numbered(sidecar, "respool-admin"), port(config.admin.as_ref().unwrap()));
    for address in [&config.listen[0], config.admin.as_ref().unwrap()] {
        assert!(
            address.to_string().starts_with("0.0.0.0:"),
            "{address} is not reached from outside of the pod"
        );
    }
    // Not `/ready` for life: a drain would be a reason to be killed.
    for (probe, path) in
        [("startupProbe", "/ready"), ("readinessProbe", "/ready"), ("livenessProbe", "/live")]
    {
        let get = &sidecar[probe]["httpGet"];
        assert_eq!(
            (get["path"].as_str(), get["port"].as_str()),
            (Some(path), Some("respool-admin")),
            "{probe}"
        );
    }
    is_enough(sidecar["resources"]["limits"]["memory"].as_str().unwrap(), config);
    let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(Duration::from_secs(grace.unsigned_abs()) > 2 * config.drain_time);
    let mount = &sidecar["volumeMounts"][0];
    assert_eq!(mount["name"], named(&pod["volumes"], "respool")["name"]);
    let file = format!("RESPOOL_CONFIG={}/respool.toml", mount["mountPath"].as_str().unwrap());
    assert!(text("Dockerfile").contains(&file), "{file}");

    let security = &sidecar["securityContext"];
    for (key, value) in
        [("runAsNonRoot", true), ("readOnlyRootFilesystem", true), ("allowPrivilegeEscalation", false)]
    {
        assert_eq!(security[key].as_bool(), Some(value), "{key}");
    }
    assert_eq!(security["capabilities"]["drop"][0].as_str(), Some("ALL"));
    assert_eq!(security["seccompProfile"]["type"].as_str(), Some("RuntimeDefault"));
    let user = security["runAsUser"].as_i64().unwrap();
    assert!(text("Dockerfile").contains(&format!("USER {user}:")));
}

/// The event server's port is where the configuration has its upstream.
fn reaches(config: &Config, server: &Yaml) {
    let Upstream::Http(upstream) = &config.upstream else { panic!("{}", config.upstream) };
    assert_eq!(upstream.as_str(), format!("127.0.0.1:{}", numbered(server, "http")));
}

#[test]
fn the_sidecar_is_what_its_configuration_says() {
    let all = documents("sidecar.yaml");
    let map = of_kind(&all, "ConfigMap");
    let config = load_with(map["data"]["respool.toml"].as_str().unwrap(), None);
    let deployment = of_kind(&all, "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    fits(pod, &config);
    reaches(&config, named(&pod["containers"], "events"));
    assert_eq!(named(&pod["volumes"], "respool")["configMap"]["name"], map["metadata"]["name"]);
    let service = of_kind(&all, "Service");
    assert_eq!(service["spec"]["ports"][0]["targetPort"].as_str(), Some("respool"));
    assert_eq!(service["spec"]["selector"], deployment["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(service["spec"]["sessionAffinity"].as_str(), Some("ClientIP"));
}

#[test]
fn the_patch_adds_the_same_sidecar() {
    let all = documents("sidecar.yaml");
    let whole = &of_kind(&all, "Deployment")["spec"]["template"]["spec"];
    let patch = &documents("patch/sidecar.yaml")[0]["spec"]["template"]["spec"];
    assert_eq!(patch["initContainers"], whole["initContainers"]);
    let config = load_with(&text("kubernetes/patch/respool.toml"), None);
    fits(patch, &config);
    let existing = documents("patch/existing.yaml");
    let deployment = of_kind(&existing, "Deployment");
    reaches(&config, &deployment["spec"]["template"]["spec"]["containers"][0]);

    let kustomization = &documents("patch/kustomization.yaml")[0];
    let made = &kustomization["configMapGenerator"][0];
    assert_eq!(named(&patch["volumes"], "respool")["configMap"]["name"], made["name"]);
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/patch");
    let files =
        [&kustomization["resources"], &made["files"]].into_iter().flat_map(|list| list.as_vec().unwrap());
    let patches = kustomization["patches"].as_vec().unwrap();
    for file in files.chain(patches.iter().map(|patch| &patch["path"])) {
        assert!(place.join(file.as_str().unwrap()).exists(), "{file:?}");
    }
    for patch in patches {
        let target = &patch["target"];
        let there = of_kind(&existing, target["kind"].as_str().unwrap());
        assert_eq!(there["metadata"]["name"], target["name"]);
    }
    // The place that the patch of the Service replaces is there.
    let service = &documents("patch/service.yaml")[0];
    assert_eq!(service[0]["path"].as_str(), Some("/spec/ports/0/targetPort"));
    assert_eq!(service[0]["value"].as_str(), Some("respool"));
    assert!(!of_kind(&existing, "Service")["spec"]["ports"][0]["targetPort"].is_badvalue());
}

#[test]
fn prometheus_finds_the_sidecars_by_the_name_of_their_port() {
    let scrape = &documents("scrape.yaml")[0]["scrape_configs"][0]["relabel_configs"];
    let all = documents("sidecar.yaml");
    let pod = &of_kind(&all, "Deployment")["spec"]["template"]["spec"];
    let name = scrape[0]["regex"].as_str().unwrap();
    numbered(named(&pod["initContainers"], "respool"), name);
}
