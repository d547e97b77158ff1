//! Each metric, label and limit that alerts and dashboard speak of exists.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::{super::command, EXAMPLE, known, load, text};

/// For each series that is served: its labels, with the values that they can have.
type Served = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn served() -> Served {
    let running = command::start(&["--upstream", "http://127.0.0.1:9"]);
    let answer = command::get(running.admin, "/metrics");
    let mut served = Served::new();
    for line in answer.lines().filter(|line| line.starts_with("respool_") && !line.contains(": ")) {
        let (name, labels) = line.rsplit_once(' ').unwrap().0.split_once('{').unwrap_or((line, ""));
        let name = name.split(' ').next().unwrap();
        let series = served.entry(name.to_owned()).or_default();
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').unwrap();
            series.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    assert!(served.len() > 15);
    served
}

/// What Prometheus itself puts beside.
const SCRAPED: [&str; 4] = ["job", "instance", "le", "alertname"];

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The series that a query names, each with what it selects.
fn selectors(query: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for (start, _) in query.match_indices("respool_") {
        let name: String = query[start..].chars().take_while(|letter| is_part(*letter)).collect();
        let rest = &query[start + name.len()..];
        let inside = rest.strip_prefix('{').map_or("", |rest| rest.split('}').next().unwrap());
        let matchers = inside.split(", ").filter(|matcher| !matcher.is_empty()).map(|matcher| {
            // One of `=`, `!=`, `=~` and `!~` is between them.
            let label: String = matcher.chars().take_while(|letter| is_part(*letter)).collect();
            (label, matcher.split('"').nth(1).unwrap().to_owned())
        });
        found.push((name, matchers.collect()));
    }
    found
}

/// Everything that a query names is there.
#[track_caller]
fn holds(query: &str, served: &Served) {
    let selectors = selectors(query);
    let mut labels: BTreeSet<&str> = SCRAPED.into();
    for (name, matchers) in &selectors {
        let series = served.get(name).unwrap_or_else(|| panic!("{name} is not served: {query}"));
        labels.extend(series.keys().map(String::as_str));
        for (label, value) in matchers.iter().filter(|(label, _)| !SCRAPED.contains(&label.as_str())) {
            let values = series.get(label).unwrap_or_else(|| panic!("{name} has no label {label}: {query}"));
            // A route's name is the operator's.
            for value in value.split('|').filter(|_| label != "route") {
                let start = value.strip_suffix(".*");
                let is = |had: &String| start.map_or(had == value, |start| had.starts_with(start));
                assert!(values.iter().any(is), "{label} of {name} is never {value}: {query}");
            }
        }
    }
    if selectors.is_empty() {
        return;
    }
    for by in query.split(" by (").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        for label in by.split(", ") {
            assert!(labels.contains(label), "nothing has the label {label}: {query}");
        }
    }
}

fn yaml(file: &str) -> Yaml {
    YamlLoader::load_from_str(&text(&format!("prometheus/{file}"))).unwrap().remove(0)
}

fn items(yaml: &Yaml) -> impl Iterator<Item = &Yaml> {
    yaml.as_vec().unwrap().iter()
}

#[test]
fn a_query_that_names_what_is_not_there_is_seen() {
    let served = served();
    let wrong = [
        "rate(respool_event_total[5m])",
        "respool_answers_total{answr=\"fresh\"}",
        "respool_answers_total{answer=\"late\"}",
        "respool_answers_total{answer=~\"fresh|gab_.*\"}",
        "sum by (kind) (respool_clients)",
    ];
    for query in wrong {
        let seen = std::panic::catch_unwind(|| holds(query, &served));
        assert!(seen.is_err(), "{query}");
    }
    holds("sum by (route, answer) (rate(respool_answers_total{answer=~\"fresh|gap_.*\"}[5m]))", &served);
}

#[test]
fn alerts_speak_of_what_is_served_and_each_is_tested() {
    let served = served();
    let tests = text("prometheus/alerts.test.yaml");
    let rules = &yaml("alerts.yaml")["groups"][0]["rules"];
    for rule in items(rules) {
        let name = rule["alert"].as_str().unwrap();
        holds(rule["expr"].as_str().unwrap(), &served);
        let fires = [format!("{name}\""), format!("alertname: {name}\n")];
        assert!(fires.iter().any(|fires| tests.contains(fires)), "{name} has no test");
        assert!(
            ["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()),
            "{name}"
        );
        let said = ["summary", "description"].map(|key| rule["annotations"][key].as_str().unwrap());
        for word in said.iter().flat_map(|text| text.split('`').skip(1).step_by(2)) {
            exists(word);
        }
        for metric in said.iter().flat_map(|text| selectors(text)) {
            assert!(served.contains_key(&metric.0), "{}", metric.0);
        }
    }
    for test in items(&yaml("alerts.test.yaml")["tests"]) {
        for series in items(&test["input_series"]) {
            holds(series["series"].as_str().unwrap(), &served);
        }
    }
}

/// A key, a key with a value, or a command.
#[track_caller]
fn exists(word: &str) {
    if let Some(command) = word.strip_prefix("respool ") {
        assert!(super::help().contains(&format!("\n  {command} ")), "{word}");
        return;
    }
    let key = word.split(" = ").next().unwrap();
    let (table, name) =
        key.split_once('.').map_or((String::new(), key), |(table, name)| (format!("[{table}]"), name));
    let places = if table.is_empty() { vec![String::new(), "[[route]]".into()] } else { vec![table] };
    assert!(places.iter().any(|place| known(place).iter().any(|had| had == name)), "{word}");
    if word.contains(" = ") {
        let mode = if name == "mode" { "" } else { "mode = \"shared\"" };
        load(&format!("upstream = \"http://127.0.0.1:9000\"\n[[route]]\npath = \"/a\"\n{mode}\n{word}\n"));
    }
}

#[test]
fn each_panel_shows_what_is_served() {
    let served = served();
    let board: Value = serde_json::from_str(&text("prometheus/grafana.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            let plain = query.replace("\"$instance\"", "\".*\"").replace("\"$route\"", "\".*\"");
            assert!(!plain.replace("$__rate_interval", "5m").contains('$'), "{query}");
            holds(&plain, &served);
            shown.extend(selectors(query).into_iter().map(|(name, _)| name));
        }
    }
    // Of a histogram one part is enough.
    let ends = ["_bucket", "_sum", "_count"];
    let family =
        |name: &String| ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned();
    let shown: BTreeSet<_> = shown.iter().map(family).collect();
    let missing: Vec<_> = served.keys().map(family).filter(|name| !shown.contains(name)).collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
    for variable in board["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            let (name, label) =
                query.strip_prefix("label_values(").unwrap().trim_end_matches(')').split_once(", ").unwrap();
            assert!(served[name].contains_key(label) || SCRAPED.contains(&label), "{query}");
        }
    }
}

#[test]
fn panels_have_a_place_and_a_number_of_their_own() {
    let board: Value = serde_json::from_str(&text("prometheus/grafana.json")).unwrap();
    let mut taken = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        assert!(numbers.insert(panel["id"].as_u64().unwrap()));
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        for cell in cells {
            assert!(taken.insert(cell), "{} covers another", panel["title"]);
        }
    }
}

#[test]
fn prometheus_asks_where_the_example_answers() {
    let scrape = yaml("scrape.yaml");
    let target = scrape["scrape_configs"][0]["static_configs"][0]["targets"][0].as_str().unwrap();
    assert_eq!(load(EXAMPLE).admin.unwrap().to_string(), target);
    assert_eq!(scrape["rule_files"][0].as_str(), Some("alerts.yaml"));
    let job = scrape["scrape_configs"][0]["job_name"].as_str().unwrap();
    assert!(job.starts_with("respool"), "the alert that it is down goes by this name");
}
