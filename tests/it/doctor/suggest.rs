//! What is proposed for event servers of several kinds; each proposal is a file that `respool check` accepts.

use std::net::SocketAddr;

use super::{
    super::{
        command::{file, respool},
        support::within,
    },
    Server, counted, counting, doctor, is_as_said, random, through, typed, url,
};

/// The proposal for this server, which `respool check` accepts without a warning, and its route as a table.
async fn proposal(server: SocketAddr, more: &[&str]) -> (toml::Table, String) {
    let (code, text) = doctor(&[&["--suggest", &url(server), "--for", "3s"], more].concat()).await;
    assert_eq!(code, 0, "{text}");
    let path = file(&format!("suggested-{}", server.port()), &text);
    let output = respool(&["check", path.to_str().unwrap()]).output().unwrap();
    let said = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(said, ("ok\n".to_owned(), String::new()), "{text}");
    std::fs::remove_file(path).unwrap();
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["upstream"].as_str(), Some(&*format!("http://{server}")), "{text}");
    let route = table["route"][0].as_table().unwrap().clone();
    assert_eq!(route["path"].as_str(), Some("/events"));
    (route, text)
}

/// The keys that are set beside the path, as they are written.
#[track_caller]
fn check((route, text): &(toml::Table, String), wanted: &str) {
    let wanted: toml::Table = wanted.parse().unwrap();
    let mut route = route.clone();
    route.remove("path");
    assert_eq!(route, wanted, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_broadcast_is_shared() {
    let (_origin, server) = counting(50).start().await;
    let proposal = proposal(server, &[]).await;
    check(&proposal, "mode = 'shared'");
    let (_, text) = proposal;
    // What could not be told, and what would follow.
    assert!(
        text.contains("\n#key = [\"path\", \"query\"]\n") && text.contains("Whether credentials make"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_server_has_its_type_in_the_data_a_hello_and_heartbeats() {
    let (_origin, server) = typed(50).start().await;
    let proposal = proposal(server, &[]).await;
    check(
        &proposal,
        "mode = 'shared'\ntype = '/type'\nhello = ['server.connected']\nephemeral = ['server.heartbeat']",
    );
    assert!(proposal.1.contains("`preset = \"opencode\"`"), "{}", proposal.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_is_seen_through() {
    let (_origin, server) = Server::new(50, |_, n| {
        format!("data: {{\"directory\":\"/d\",\"payload\":{{\"type\":\"t{}\",\"n\":{n}}}}}\n\n", n % 3)
    })
    .hello(|_, _| {
        "data: {\"payload\":{\"type\":\"hello\"}}\n\ndata: {\"payload\":{\"type\":\"state\"}}\n\n".to_owned()
    })
    .start()
    .await;
    check(
        &proposal(server, &[]).await,
        "mode = 'shared'\ntype = '/payload/type'\nhello = ['hello', 'state']\nhello_events = 2",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_by_user_is_private_and_what_does_not_has_the_path_for_a_key() {
    let of_user = |asker: &super::Asker, n| {
        format!("data: {} {n}\n\n", asker.header("authorization").unwrap_or("nobody"))
    };
    let credentials = ["--header", "Authorization: Bearer x"];
    let (_origin, server) = Server::new(50, of_user).start().await;
    let private = proposal(server, &credentials).await;
    check(&private, "mode = 'private'");
    assert!(private.1.contains("without the credentials did not see the same events"), "{}", private.1);
    assert!(!private.1.contains("Bearer"), "{}", private.1);

    let refusing = |asker: &super::Asker, _| if asker.header("authorization").is_some() { 200 } else { 401 };
    let (_origin, server) = counting(50).status(refusing).start().await;
    let private = proposal(server, &credentials).await;
    check(&private, "mode = 'private'");
    assert!(private.1.contains("without the credentials was answered 401"), "{}", private.1);

    let (_origin, server) = counting(50).start().await;
    check(&proposal(server, &credentials).await, "mode = 'shared'\nkey = ['path', 'query']");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_for_each_connection_is_private() {
    let (_origin, server) =
        Server::new(50, |asker, n| format!("data: {} {n}\n\n", asker.number)).start().await;
    check(&proposal(server, &[]).await, "mode = 'private'");
    // The past first, of types that come later, too.
    let past = |asker: &super::Asker, _| {
        (asker.from.saturating_sub(3) + 1..=asker.from).map(|n| format!("data: {{\"n\":{n}}}\n\n")).collect()
    };
    let (_origin, server) = counting(50).hello(past).start().await;
    let private = proposal(server, &[]).await;
    check(&private, "mode = 'private'");
    assert!(
        private.1.contains("each begins with ") && private.1.contains(" of its own that no type"),
        "{}",
        private.1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_the_id_of_the_first_event_stays() {
    // It says nothing else until somebody subscribes, which is not for a doctor to do.
    let connect = |asker: &super::Asker, _| {
        let name = format!("client{:08}", asker.number * 7919);
        format!("id: {name}\nevent: PB_CONNECT\ndata: {{\"clientId\":\"{name}\"}}\n\n")
    };
    let (_origin, server) = Server::new(60_000, |_, _| String::new()).hello(connect).start().await;
    let proposal = proposal(server, &[]).await;
    check(&proposal, "mode = 'private'\nids = 'replace'\nkeep_ids_of = ['PB_CONNECT']");
    assert!(
        proposal.1.contains("`preset = \"pocketbase\"`") && proposal.1.contains("nothing happened"),
        "{}",
        proposal.1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_cursors_stay_and_the_server_is_trusted_where_it_resumes() {
    let numbered = || Server::new(50, |_, n| format!("id: {n}\ndata: {n}\n\n"));
    let (_origin, server) = numbered().resuming().start().await;
    check(&proposal(server, &[]).await, "mode = 'shared'\nids = 'keep'\nupstream_resumes = true");
    let (_origin, server) = numbered().start().await;
    check(&proposal(server, &[]).await, "mode = 'shared'\nids = 'keep'");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_no_places_are_replaced() {
    let replaced = "mode = 'shared'\nids = 'replace'";
    let (_origin, server) = Server::new(50, random).start().await;
    let of_random = proposal(server, &[]).await;
    check(&of_random, replaced);
    assert!(of_random.1.contains("another id on each connection"), "{}", of_random.1);
    let (_origin, server) = Server::new(50, counted).start().await;
    let of_counted = proposal(server, &[]).await;
    check(&of_counted, replaced);
    assert!(of_counted.1.contains("counts its ids for each connection"), "{}", of_counted.1);
    let (_origin, server) = Server::new(50, |_, n| format!("id: same\ndata: {n}\n\n")).start().await;
    check(&proposal(server, &[]).await, replaced);
    // Every third without one.
    let sparse = |_: &super::Asker, n: u64| match n % 3 {
        0 => format!("data: {n}\n\n"),
        _ => format!("id: {n}\ndata: {n}\n\n"),
    };
    let (_origin, server) = Server::new(50, sparse).start().await;
    check(&proposal(server, &[]).await, replaced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_is_an_object_too_and_there_is_none_where_there_is_no_bare_stream() {
    let (_origin, server) = counting(50).start().await;
    let (code, said) = doctor(&["--suggest", &url(server), "--for", "2s", "--json"]).await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(code, 0);
    is_as_said("in the proposal", &said);
    assert!(said["config"].as_str().unwrap().contains("[[route]]"), "{said:#}");
    assert_eq!(
        (&said["route"][0]["key"], &said["route"][0]["value"]),
        (&"mode".into(), &"\"shared\"".into())
    );

    let (code, said) = doctor(&["--suggest", &url(through("", server)), "--for", "1s"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("wrong: is-respool") && said.contains("give the address of the bare event server"),
        "{said}"
    );
    let (_origin, server) = counting(50).status(|_, _| 404).start().await;
    let (code, said) = doctor(&["--suggest", &url(server), "--for", "1s"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("status 404"), "{said}");
}

/// What is not a configuration must not end in the file that its reader meant for one, unseen; and nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_there_is_no_proposal_is_said_at_once_and_not_on_the_output() {
    let (_origin, server) = counting(50).status(|_, _| 404).start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, said) in [(server, "status 404"), (nobody, "wrong: unreachable")] {
        // It is over before that time is.
        let arguments = ["doctor", "--suggest", &url(address), "--for", "10m"].map(str::to_owned);
        let run = move || respool(&arguments.each_ref().map(String::as_str)).output().unwrap();
        let output = within(async { tokio::task::spawn_blocking(run).await.unwrap() }).await;
        assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()), "{address}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains(said), "{err}");
    }
}
