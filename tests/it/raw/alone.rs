//! Each row before respool alone.

use tokio::time::{Duration, timeout};

use super::{
    CANARY,
    recorder::{Recorder, Seen},
    strict::{Manner, read_all},
    table::{Gets, Row, rows},
};
use crate::support::{Binary, End, Wire, moment, until, within};

/// Sends a row, and reads so many answers, or as many as come.
async fn sent(binary: &Binary, row: &Row, answers: usize) -> (Wire, Vec<u16>) {
    let mut client = binary.connect().await;
    // A refusal can come, and the connection end, before all was sent.
    let _ = client.try_send(&row.sent).await;
    let mut statuses = Vec::new();
    while statuses.len() < answers {
        let Some(answer) = client.try_answer(false).await else { break };
        // Not the one that says that the body may come.
        statuses.extend(Some(answer.status()).filter(|status| *status != 100));
    }
    (client, statuses)
}

fn meanings(seen: &[Seen], own: &str) -> Vec<String> {
    let meaning = |seen: &Seen| match seen {
        Seen::Whole(request, _) => request.meaning(own),
        other => format!("{other:?}"),
    };
    seen.iter().map(meaning).collect()
}

/// What a row gets, if that is not what it should.
async fn judged(binary: &Binary, upstream: &Recorder, row: &Row) -> Result<(), String> {
    let own = upstream.address.to_string();
    let (passes, status): (Vec<&str>, Option<u16>) = match &row.gets {
        Gets::Status(status) | Gets::Torn(status) => (Vec::new(), Some(*status)),
        Gets::Passes(requests) => (requests.to_vec(), None),
        Gets::Last(request) => (vec![request], None),
        Gets::Waits => (Vec::new(), None),
    };
    let answers = passes.len() + usize::from(status.is_some());
    let asked = timeout(Duration::from_secs(5), sent(binary, row, answers)).await;
    let Ok((mut client, statuses)) = asked else {
        return Err(format!("no answer; the upstream has {:?}", meanings(&upstream.take(), &own)));
    };
    let wanted: Vec<u16> = passes.iter().map(|_| 200).chain(status).collect();
    if statuses != wanted {
        return Err(format!("{:?}; the upstream has {:?}", statuses, meanings(&upstream.take(), &own)));
    }
    if let Gets::Passes(_) = row.gets {
        // What is said next on the same connection is what is heard.
        let canary = timeout(Duration::from_secs(5), client.ask(CANARY)).await;
        if !canary.is_ok_and(|answer| answer.status() == 200) {
            return Err("the connection does not go on".into());
        }
        let last = upstream.take();
        let (canary, its) = last.split_last().unwrap();
        if meanings(std::slice::from_ref(canary), &own) != ["GET /canary"] || meanings(its, &own) != passes {
            return Err(format!("{:?}", meanings(&last, &own)));
        }
    } else if row.gets == Gets::Waits {
        let unasked = client.unasked().await;
        if !unasked.is_empty() {
            return Err(String::from_utf8_lossy(&unasked).into_owned());
        }
    } else {
        let (rest, end) = client.rest().await;
        if !rest.is_empty() || end == End::Whole {
            return Err(format!("{:?} behind the answer", String::from_utf8_lossy(&rest)));
        }
        if let Gets::Torn(_) = row.gets {
            moment().await;
        }
        let seen = upstream.take();
        let torn = |seen: &Seen| matches!(seen, Seen::Torn(_)) && matches!(row.gets, Gets::Torn(_));
        let whole: Vec<_> = seen.iter().filter(|seen| !torn(seen)).cloned().collect();
        if meanings(&whole, &own) != passes {
            return Err(format!("{:?}", meanings(&seen, &own)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_request_is_refused_or_reaches_the_upstream_once_and_says_the_same_there() {
    within(async {
        let upstream = Recorder::start().await;
        let binary = Binary::to(upstream.address).await;
        let rows = rows();
        assert!(rows.len() >= 60);
        let mut wrong = Vec::new();
        for row in &rows {
            if let Err(what) = judged(&binary, &upstream, row).await {
                wrong.push(format!("{}: wanted {:?}, got {what}", row.name, row.gets));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        until(|| upstream.has_seen() == 0).await;
    })
    .await;
}

/// What a row says of the upstream is what the bytes say to a reader that never heard of respool.
#[test]
fn what_passes_is_what_was_sent() {
    for row in rows() {
        let (requests, _) = read_all(&row.sent, Manner::Taken);
        let said: Vec<_> = requests.iter().map(|request| request.meaning("own")).collect();
        match row.gets {
            Gets::Passes(passes) => assert_eq!(said, passes, "{}", row.name),
            Gets::Last(request) => {
                assert_eq!(said.first().map(String::as_str), Some(request), "{}", row.name)
            }
            Gets::Status(_) | Gets::Torn(_) | Gets::Waits => {}
        }
    }
}

/// The page has each row, as it is here. `RESPOOL_ACCEPT=1` writes it there.
#[test]
fn the_page_says_what_each_request_gets() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/docs/attacks.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let rows = rows()
        .iter()
        .fold(String::new(), |all, row| all + &format!("| {} | {} |\n", row.name, row.gets.said()));
    let table = format!("| request | what it gets |\n| --- | --- |\n{rows}");
    if std::env::var_os("RESPOOL_ACCEPT").is_some() {
        let (before, rest) = page.split_once("| request |").unwrap();
        let behind = rest.split_once("\n\n").map_or(String::new(), |(_, behind)| format!("\n{behind}"));
        std::fs::write(path, format!("{before}{table}{behind}")).unwrap();
    } else {
        assert!(page.contains(&table), "another table: RESPOOL_ACCEPT=1 writes it");
    }
}
