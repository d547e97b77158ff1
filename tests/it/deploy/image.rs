//! What the image and the compose file name exists.

use std::{collections::BTreeSet, path::Path};

use yaml_rust2::{Yaml, YamlLoader};

use super::{help, is_enough, load_with, port, text};

/// The lines of a Dockerfile that begin with this word, joined where they are continued.
fn instructions(dockerfile: &str, word: &str) -> Vec<String> {
    let whole = dockerfile.replace("\\\n", " ");
    let lines = whole.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    let lines: Vec<_> = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(!lines.is_empty(), "{word}");
    lines
}

/// The words of a command in brackets.
fn words(command: &str) -> Vec<String> {
    serde_json::from_str(&command[command.find('[').unwrap()..]).unwrap()
}

#[test]
fn the_image_runs_the_program_and_asks_it_for_its_health() {
    let file = text("Dockerfile");
    let [entry] = instructions(&file, "ENTRYPOINT").try_into().unwrap();
    let [health] = instructions(&file, "HEALTHCHECK").try_into().unwrap();
    let (entry, health) = (words(&entry), words(&health));
    assert_eq!(entry[0], health[0]);
    assert!(help().contains(&format!("\n  {} ", health[1])), "{}", health[1]);
    let build = instructions(&file, "RUN").pop().unwrap();
    assert!(build.contains(&format!("/release/respool\" /out{}", entry[0])), "{build}");
    let [env] = instructions(&file, "ENV").try_into().unwrap();
    let (name, config) = env.split_once('=').unwrap();
    assert!(help().contains(&format!("[env: {name}")), "{name}");
    assert!(build.contains(&format!("deploy/container.toml /out{config}")), "{config}");
    let [user] = instructions(&file, "USER").try_into().unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
}

#[test]
fn the_image_is_told_addresses_that_a_container_needs() {
    let config = load_with(&text("container.toml"), Some("http://events:9000"));
    let [expose] = instructions(&text("Dockerfile"), "EXPOSE").try_into().unwrap();
    assert_eq!(port(&config.listen[0]).to_string(), expose);
    assert!(config.listen[0].to_string().starts_with("0.0.0.0:"));
    assert!(config.admin.unwrap().to_string().starts_with("127.0.0.1:"));
}

#[test]
fn what_the_image_is_built_from_is_sent_and_new_enough() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignore = std::fs::read_to_string(root.join(".dockerignore")).unwrap();
    let sent: BTreeSet<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignore.lines().any(|line| line == "*"));
    for file in &sent {
        assert!(root.join(file).exists(), "{file}");
    }
    for file in ["Cargo.toml", "Cargo.lock", "src", "LICENSE-APACHE", "LICENSE-MIT", "deploy/container.toml"]
    {
        assert!(sent.contains(file), "{file}");
    }
    let from = &instructions(&text("Dockerfile"), "FROM")[0];
    let version = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap());
        (parts.next().unwrap(), parts.next().unwrap())
    };
    let image = from.strip_prefix("rust:").unwrap().split('-').next().unwrap();
    assert!(version(image) >= version(env!("CARGO_PKG_RUST_VERSION")), "{from}");
}

/// What a list of a service has, as text.
fn list(yaml: &Yaml) -> Vec<&str> {
    yaml.as_vec().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_services_of_the_compose_file_fit_each_other() {
    let compose = YamlLoader::load_from_str(&text("compose.yaml")).unwrap().remove(0);
    let respool = &compose["services"]["respool"];
    let build = &respool["build"];
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(build["context"].as_str().unwrap());
    assert!(place.join(build["dockerfile"].as_str().unwrap()).exists());
    let environment = respool["environment"].as_hash().unwrap();
    for name in environment.keys().map(|name| name.as_str().unwrap()) {
        assert!(help().contains(&format!("[env: {name}")), "{name}");
    }
    let upstream = respool["environment"]["RESPOOL_UPSTREAM"].as_str().unwrap();
    let server = &compose["services"]["events"];
    assert_eq!(upstream, format!("http://events:{}", list(&server["expose"])[0]));
    let script = compose["configs"]["server"]["content"].as_str().unwrap();
    assert!(script.contains(&format!("\"PORT\", \"{}\"", list(&server["expose"])[0])));

    let source = &respool["configs"][0];
    let target = format!("RESPOOL_CONFIG={}", source["target"].as_str().unwrap());
    assert!(text("Dockerfile").contains(&target), "{target}");
    let content = compose["configs"][source["source"].as_str().unwrap()]["content"].as_str().unwrap();
    let config = load_with(content, Some(upstream));
    let inside: Vec<_> =
        list(&respool["ports"]).into_iter().map(|ports| ports.rsplit(':').next().unwrap()).collect();
    let ports = [port(&config.listen[0]), port(config.admin.as_ref().unwrap())].map(|port| port.to_string());
    assert_eq!(inside, ports);
    is_enough(respool["mem_limit"].as_str().unwrap(), &config);
    let grace = humantime::parse_duration(respool["stop_grace_period"].as_str().unwrap()).unwrap();
    assert!(grace > config.drain_time);
    let files = usize::try_from(respool["ulimits"]["nofile"].as_i64().unwrap()).unwrap();
    assert!(files * 8 / 10 > 2 * config.limits.connections.get());
}
