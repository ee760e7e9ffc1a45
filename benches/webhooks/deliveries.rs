//! Deliveries that are made and signed before the clock runs, so that the load itself costs little.

use suppressd::{
    model::id::{DataSourceId, DatabaseId},
    notion::signature::{VerificationToken, sign},
};
use uuid::Uuid;

/// The token that both doors know.
pub(crate) const TOKEN: &str = "secret_of_the_benchmark_with_the_length_of_a_real1";

/// The data source of every page.
pub(crate) const SOURCE: DataSourceId =
    DataSourceId::from_uuid(Uuid::from_u128(0xa87b_f59b_0905_40be_b3d3_21c7_9ce9_7349));

/// And its database.
pub(crate) const DATABASE: DatabaseId =
    DatabaseId::from_uuid(Uuid::from_u128(0x530e_8a8c_1f42_4b4a_b49b_741a_02ba_20ef));

/// Where the event's id stands in every body.
pub(crate) const EVENT_ID: std::ops::Range<usize> = 7..43;

/// The events are about this many pages.
const PAGES: u128 = 5_000;

/// Requests of one length, back to back.
#[derive(Debug)]
pub(crate) struct Deliveries {
    bytes: Vec<u8>,
    size: usize,
    token: VerificationToken,
    places: Places,
}

/// Where the parts that differ stand in a request.
#[derive(Debug, Clone, Copy)]
struct Places {
    signature: usize,
    body: usize,
    page: usize,
}

impl Deliveries {
    /// Makes room for `count` deliveries. They are all alike until they are renewed.
    pub(crate) fn prepare(count: usize) -> Self {
        let (nil, digits) = (Uuid::nil().to_string(), "f".repeat(64));
        let body = body(&nil);
        let request = format!(
            "POST /webhooks/notion HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             User-Agent: Notion-Webhooks\r\nX-Notion-Signature: sha256={digits}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let places = Places {
            signature: request.find(&digits).unwrap(),
            body: request.len() - body.len(),
            page: request.rfind(&nil).unwrap(),
        };
        let size = request.len();
        Self { bytes: request.into_bytes().repeat(count), size, token: TOKEN.parse().unwrap(), places }
    }

    /// Makes other deliveries of all of them, each with an event id that was never used.
    pub(crate) fn renew(&mut self) {
        let Places { signature, body, page } = self.places;
        for request in self.bytes.chunks_exact_mut(self.size) {
            let event = Uuid::from_u128(fastrand::u128(..)).to_string();
            request[body..][EVENT_ID].copy_from_slice(event.as_bytes());
            let about = Uuid::from_u128(0x5fed << 112 | fastrand::u128(..PAGES) << 64).to_string();
            request[page..][..about.len()].copy_from_slice(about.as_bytes());
            let signed = sign(&request[body..], &self.token);
            request[signature..][..64].copy_from_slice(signed.trim_start_matches("sha256=").as_bytes());
        }
    }

    /// Returns a request, if there are as many.
    pub(crate) fn get(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(at * self.size..(at + 1) * self.size)
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// Returns the bytes of one request.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the bytes of its body.
    pub(crate) fn body_size(&self) -> usize {
        self.size - self.places.body
    }
}

/// An event as Notion sends it, about 1 KB; the page's id stands last.
fn body(id: &str) -> String {
    let person = "97e20e37-1f7c-4355-9184-422e8cd90dff";
    let (database, source) = (DATABASE, SOURCE);
    format!(
        r#"{{"id":"{id}","timestamp":"2026-11-03T10:07:30.866Z","workspace_id":"03d214a5-5332-441f-80b8-98fe42492991","workspace_name":"Fernhollow Capital","subscription_id":"ade1b90b-6ae1-4912-85bc-b47e23db6b3a","integration_id":"46cc61ae-0edc-4b61-ba43-f706b523b06b","type":"page.properties_updated","authors":[{{"id":"{person}","type":"person"}},{{"id":"056909a3-f247-4f92-8b04-4629b5f4d84f","type":"person"}}],"accessible_by":[{{"id":"2bf1e056-5f05-5b44-a325-dab4f1a93751","type":"bot"}},{{"id":"{person}","type":"person"}},{{"id":"056909a3-f247-4f92-8b04-4629b5f4d84f","type":"person"}}],"attempt_number":1,"api_version":"2025-09-03","data":{{"parent":{{"id":"{database}","type":"database","data_source_id":"{source}"}},"updated_properties":["%3FtQz","a%2541","wE%3Ab","notion%3A%2F%2Fdeals%2Fnumber_property"]}},"entity":{{"id":"{id}","type":"page"}}}}"#
    )
}
