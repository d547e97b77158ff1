//! What the log says, and what it never says: payloads, credentials, queries, ids, header values.

use crate::support::{Binary, Origin, until, within};

#[tokio::test]
async fn case_19_no_payload_credential_query_or_id_is_ever_logged() {
    within(async {
        let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nSet-Cookie: sid=hidden1\r\n\
                      X-App: hidden2\r\nTransfer-Encoding: chunked\r\n\r\n\
                      29\r\nevent: hidden3\nid: hidden4\ndata: hidden5\n\r\n1\r\n\n\r\n0\r\n\r\n";
        let origin = Origin::saying(stream).await;
        let binary = Binary::logging(origin.address, "trace").await;
        for id in ["hidden6", "r00000000000000000000-1"] {
            let request = format!(
                "GET /e/hidden7?token=hidden8 HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\
                 Authorization: Bearer hidden9\r\nCookie: sid=hidden10\r\nLast-Event-ID: {id}\r\n\r\n"
            );
            let answer = binary.connect().await.ask(request).await;
            assert!(answer.text().contains("data: hidden5"), "{answer:?}");
        }
        let refused = "GET /?hidden11 HTTP/1.1\r\nHost: a\r\nHost: hidden12\r\n\r\n";
        assert_eq!(binary.connect().await.ask(refused).await.status(), 400);
        until(|| binary.log().contains("a request was refused")).await;
        let log = binary.log();
        for secret in ["hidden", "r00000000000000000000", "token", "sid"] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_cause_of_a_loss_is_logged() {
    within(async {
        let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                      9\r\ndata: 1\n\n\r\nno chunk\r\n";
        let origin = Origin::saying(stream).await;
        let binary = Binary::to(origin.address).await;
        let request = "GET /e HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n";
        let mut client = binary.connect().await;
        client.send(request).await;
        until(|| binary.log().contains("the upstream of a session was lost")).await;
        assert!(binary.log().contains("chunk"), "{}", binary.log());
    })
    .await;
}
