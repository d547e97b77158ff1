//! Golden cases of files that name presets.

use std::process::Command;

use respool::{
    config::{Config, Faults, Flags},
    route::{Mode, Route},
};

use crate::{command, deploy};

const UPSTREAM: &str = "upstream = \"http://127.0.0.1:9000\"\n";

fn resolve(file: &str) -> Result<Config, Faults> {
    Config::resolve(&Flags::default(), &|_| None, Some(("r.toml", &format!("{UPSTREAM}{file}"))))
}

fn routes(file: &str) -> Vec<Route> {
    let mut routes = resolve(file).unwrap_or_else(|fault| panic!("{fault}")).routes;
    assert_eq!(routes.pop().unwrap().name, "default");
    routes
}

fn names(file: &str) -> Vec<String> {
    routes(file).into_iter().map(|route| route.name).collect()
}

/// A file that is refused, and the whole of what is said. The upstream stands in the first line.
#[track_caller]
fn refused(file: &str, expected: &str) {
    assert_eq!(resolve(file).unwrap_err().to_string(), expected);
}

#[test]
fn each_preset_loads_alone_without_a_warning() {
    for preset in deploy::presets() {
        let config = resolve(&format!("[[route]]\npreset = \"{preset}\"")).unwrap();
        assert!(config.warnings.is_empty(), "{preset}");
        for route in &config.routes[..config.routes.len() - 1] {
            assert!(route.path.is_some() && route.name.starts_with('/'), "{preset}");
            // Nothing of it goes without saying: it would be a preset for nothing.
            let plain = routes(&format!("[[route]]\npath = \"{}\"", route.name));
            assert_ne!(format!("{route:?}"), format!("{:?}", plain[0]), "{preset}");
        }
    }
}

#[test]
fn a_preset_is_all_its_routes_in_the_place_of_the_one_that_names_it() {
    assert_eq!(
        names("[[route]]\npath = \"/a\"\n[[route]]\npreset = \"opencode\"\n[[route]]\npath = \"/b\""),
        ["/a", "/event", "/global/event", "/b"]
    );
    assert_eq!(
        names("route = [{ preset = \"opencode\" }, { path = \"/b\" }]"),
        ["/event", "/global/event", "/b"]
    );
}

#[test]
fn a_path_says_which_of_its_routes_is_meant() {
    for path in ["/event", "/global/event"] {
        let file = format!("[[route]]\npath = \"{path}\"\npreset = \"opencode\"");
        assert_eq!(names(&file), [path]);
    }
    refused(
        "[[route]]\npreset = \"opencode\"\npath = \"/events\"",
        "r.toml:4:8: `preset = \"opencode\"` has nothing for `/events`; write \"/event\" or \"/global/event\", or leave \
         `path` out for all of them",
    );
}

#[test]
fn the_only_route_of_a_preset_may_be_anywhere() {
    let [route] = &routes("[[route]]\npreset = \"pocketbase\"\npath = \"/db/api/realtime\"")[..] else {
        panic!()
    };
    assert_eq!(route.name, "/db/api/realtime");
    assert!(route.rules.keep_ids_of.is_some());
}

#[test]
fn glob_paths_of_presets_match_what_they_name() {
    let takes = |file: &str, path: &str| routes(file)[0].path.as_ref().unwrap().is_match(path);
    for path in ["/v1/chat/completions", "/v1/completions", "/v1/responses"] {
        assert!(takes("[[route]]\npreset = \"openai\"", path), "{path}");
    }
    for path in ["/v1/models", "/v1/responses/resp_1", "/chat/completions"] {
        assert!(!takes("[[route]]\npreset = \"openai\"", path), "{path}");
    }
    for (path, is) in [("/mcp", true), ("/sse", true), ("/message", false)] {
        assert_eq!(takes("[[route]]\npreset = \"mcp\"", path), is, "{path}");
    }
}

#[test]
fn the_routes_own_keys_win_one_by_one() {
    let own = "[[route]]\npreset = \"opencode\"\nstamp = \"auto\"\nhello = \"welcome\"\nwindow = { events = 7 }\n\
               [[route.guard]]\nopen = \"a\"\nclose = \"b\"\nkey = \"/id\"";
    let (own, preset) = (routes(own), routes("[[route]]\npreset = \"opencode\""));
    for (own, preset) in own.iter().zip(&preset) {
        assert_eq!(format!("{:?} {:?}", own.stamp, preset.stamp), "Auto Always");
        assert_eq!((own.window.events.get(), own.window.age), (7, preset.window.age));
        let hello = &own.rules.hello.as_ref().unwrap().types;
        assert!(hello.is_match("welcome") && !hello.is_match("server.connected"));
        assert_eq!((own.rules.guards.len(), preset.rules.guards.len()), (1, 2));
        assert_eq!((own.mode, &own.key), (Mode::Shared, &preset.key));
    }
    // Of a table, what the preset says is gone, and the general bounds hold.
    let openai = routes("window = { events = 5 }\n[[route]]\npreset = \"openai\"\nwindow = { age = \"1m\" }");
    assert_eq!((openai[0].window.events.get(), openai[0].window.age.as_secs()), (5, 60));
    let openai = routes("window = { age = \"1m\" }\n[[route]]\npreset = \"openai\"");
    assert_eq!((openai[0].window.events.get(), openai[0].window.age.as_secs()), (16_384, 60));
}

#[test]
fn an_unknown_preset_is_refused_with_those_that_there_are() {
    refused(
        "[[route]]\npath = \"/a\"\npreset = \"opencod\"",
        "r.toml:4:10: `opencod` is no preset; write \"mcp\" or \"openai\" or \"opencode\" or \"pocketbase\"",
    );
    refused("[[route]]\npreset = 1", "r.toml:3:10: wrong type: integer `1`; write text in quotes");
    refused(
        "[[route]]\npreset = \"mcp\"\npath = 1",
        "r.toml:4:8: wrong type: integer `1`; write text in quotes",
    );
}

/// What the operator wrote is right by itself, and so is the preset; together they are not.
#[test]
fn a_fault_in_what_a_preset_says_is_at_its_name_and_says_so() {
    let wins = "the route's own keys win over the preset's";
    refused(
        "[[route]]\nmode = \"private\"\npin = false\npreset = \"opencode\"",
        &format!(
            "r.toml:5:10: the upstream of a private stream is never asked for it again, as `preset = \"opencode\"` has \
             it; write `mode = \"shared\"`, or leave `on_break` out; {wins}"
        ),
    );
    refused(
        "[[route]]\npath = \"/global/event\"\n[[route]]\npreset = \"opencode\"",
        &format!(
            "r.toml:5:10: `/global/event` can never match: the earlier route `/global/event` takes all of it, as \
             `preset = \"opencode\"` has it; the first match wins: write the narrower route first, or leave one out; \
             {wins}"
        ),
    );
    refused(
        "limits = { event = \"2MiB\" }\n[[route]]\npreset = \"pocketbase\"\nids = \"keep\"",
        &format!(
            "r.toml:4:10: `keep_ids_of` has no effect where ids are not replaced, as `preset = \"pocketbase\"` has it; \
             write `ids = \"replace\"`, or leave it out; {wins}"
        ),
    );
}

#[test]
fn a_fault_in_the_routes_own_keys_is_at_them() {
    refused(
        "[[route]]\npreset = \"opencode\"\nstamp = \"sometimes\"",
        "r.toml:4:9: `sometimes` is not known here; write \"auto\" or \"always\" or \"never\"",
    );
    refused(
        "[[route]]\npreset = \"opencode\"\npin_headers = { authorization = \"x\" }",
        "r.toml:4:15: `pin_headers` has no effect without a pin; write `pin = true`, or leave it out",
    );
    refused(
        "[[route]]\npreset = \"mcp\"\nhello_wait = \"5s\"",
        "r.toml:4:14: `hello_wait` has no effect without a hello; write which types are `hello`",
    );
}

#[test]
fn a_warning_of_what_a_preset_says_is_at_its_name_too() {
    let config = resolve("[[route]]\npreset = \"opencode\"\nadmit = \"none\"").unwrap();
    let [event, global] = &config.warnings[..] else { panic!("{:?}", config.warnings) };
    for (warning, path) in [(event, "/event"), (global, "/global/event")] {
        let said = format!(
            "r.toml:3:10: `{path}` is shared by all who ask, whatever credentials they have: the key leaves \
                            out authorization and cookie, as `preset = \"opencode\"` has it; "
        );
        assert!(warning.to_string().starts_with(&said), "{warning}");
    }
}

#[test]
fn check_reads_them_too() {
    let path = command::file("presets", &format!("{UPSTREAM}[[route]]\npreset = \"opencode\"\n"));
    let output = Command::new(env!("CARGO_BIN_EXE_respool")).arg("check").arg(&path).output().unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n");
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), ("", Some(0)));
}
