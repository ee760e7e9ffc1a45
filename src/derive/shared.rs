//! Hosts that are nobody's own domain, or whose subdomains belong to customers.
//!
//! Two lists, because hosts are shared in two ways:
//! - **shared**: the host and all below it are one service's pages about others (`linkedin.com`, `uk.linkedin.com`):
//!   they claim no domain.
//! - **tenants**: every name directly below the host is a customer's site (`acme.squarespace.com`): it claims itself and
//!   never the host. The private section of the Public Suffix List says the same of many hosts; this list holds those
//!   that are not on it, and those that are also shared.
//!
//! A host on both lists is nobody's by itself, while its customers have theirs: `medium.com` claims nothing,
//! `acme.medium.com` claims itself. A host that only has tenants is its owner's page: `squarespace.com` claims itself.

use std::collections::BTreeSet;

use crate::derive::host::{Address, is_registry};

/// The hosts that are treated differently from a company's own domain. The default is what ships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedHosts {
    shared: BTreeSet<String>,
    tenants: BTreeSet<String>,
}

/// Settings that name no host that could be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these are no shared hosts: {0:?} (write host names such as `example.com`, which count with all subdomains)")]
pub struct InvalidSharedHosts(pub Vec<String>);

/// Whose a host is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// Nobody's own.
    Shared,
    /// A customer's: this is the highest name that is theirs.
    Tenant(&'a str),
    /// Its registrant's.
    Registrant,
}

impl SharedHosts {
    /// Adds shared hosts; each counts with all its subdomains, with or without a leading `*.`.
    pub fn with_extra(mut self, extra: &[String]) -> Result<Self, InvalidSharedHosts> {
        let mut invalid = Vec::new();
        for text in extra {
            let host = text.trim();
            match Address::parse(host.strip_prefix("*.").unwrap_or(host)) {
                Ok(address) if !is_registry(&address.host) => drop(self.shared.insert(address.host)),
                Ok(_) | Err(_) => invalid.push(text.clone()),
            }
        }
        if invalid.is_empty() { Ok(self) } else { Err(InvalidSharedHosts(invalid)) }
    }

    /// Says whose a host in ASCII is; the longest name on a list decides.
    pub(crate) fn owner<'a>(&self, host: &'a str) -> Owner<'a> {
        let (mut below, mut name) = (None, host);
        loop {
            match below {
                Some(site) if self.tenants.contains(name) => return Owner::Tenant(site),
                _ if self.shared.contains(name) => return Owner::Shared,
                _ => (),
            }
            match name.split_once('.') {
                Some((_, parent)) => (below, name) = (Some(name), parent),
                None => return Owner::Registrant,
            }
        }
    }

    /// Lists the shared hosts in order.
    pub(crate) fn shared(&self) -> Vec<&str> {
        self.shared.iter().map(String::as_str).collect()
    }

    /// Lists the hosts with tenants in order.
    pub(crate) fn tenants(&self) -> Vec<&str> {
        self.tenants.iter().map(String::as_str).collect()
    }
}

impl Default for SharedHosts {
    fn default() -> Self {
        let all = |list: &[&str]| list.iter().flat_map(|row| row.split_whitespace()).map(str::to_owned).collect();
        Self { shared: all(SHARED), tenants: all(TENANTS) }
    }
}

const SHARED: &[&str] = &[
    // Social networks and messengers.
    "linkedin.com lnkd.in twitter.com x.com t.co facebook.com fb.com fb.me fb.watch messenger.com m.me instagram.com",
    "instagr.am threads.net threads.com tiktok.com youtube.com youtu.be vimeo.com twitch.tv pinterest.com",
    "pinterest.co.uk pin.it reddit.com redd.it snapchat.com tumblr.com quora.com xing.com weibo.com vk.com ok.ru",
    "bsky.app bsky.social mastodon.social discord.com discord.gg discordapp.com t.me telegram.me wa.me whatsapp.com",
    "wechat.com slack.com signal.group soundcloud.com spotify.com patreon.com",
    // Publishing and shared documents.
    "medium.com substack.com blogspot.com notion.so notion.site notion.com coda.io airtable.com typeform.com",
    "jotform.com surveymonkey.com tally.so calendly.com docsend.com dropbox.com box.com wetransfer.com 1drv.ms",
    "office.com sharepoint.com teams.microsoft.com scribd.com slideshare.net issuu.com archive.org prezi.com",
    // Google, under its larger countries too.
    "google.com google.co.uk google.de google.fr google.es google.it google.nl google.ie google.be google.ch google.at",
    "google.se google.pl google.pt google.ca google.com.au google.com.br google.co.in google.co.jp goo.gl goo.gle",
    "forms.gle g.co g.page googleusercontent.com blogger.com",
    // Pages of links, and short addresses.
    "linktr.ee lnk.bio bio.link bio.site beacons.ai campsite.bio linkin.bio taplink.cc solo.to about.me allmylinks.com",
    "bit.ly tinyurl.com ow.ly buff.ly is.gd v.gd cutt.ly rebrand.ly rb.gy shorturl.at tiny.cc t.ly amzn.to hubs.ly",
    "hubs.la dlvr.it trib.al s.id",
    // Directories of companies, news of companies, registers.
    "crunchbase.com pitchbook.com dealroom.co wellfound.com angel.co angellist.com producthunt.com ycombinator.com",
    "f6s.com tracxn.com cbinsights.com owler.com zoominfo.com beauhurst.com betalist.com g2.com capterra.com",
    "trustpilot.com glassdoor.com glassdoor.co.uk indeed.com bloomberg.com wikipedia.org wikidata.org opencorporates.com",
    "endole.co.uk dnb.com company-information.service.gov.uk companieshouse.gov.uk techcrunch.com",
    // Boards of jobs, by the hosts that carry them: the firms behind them have their own domains.
    "boards.greenhouse.io job-boards.greenhouse.io jobs.lever.co jobs.ashbyhq.com apply.workable.com",
    // Code.
    "github.com githubusercontent.com github.io gitlab.com gitlab.io bitbucket.org codeberg.org sourceforge.net gitee.com",
    "rubygems.org packagist.org hub.docker.com huggingface.co hf.co kaggle.com codepen.io",
    "stackoverflow.com marketplace.visualstudio.com addons.mozilla.org",
    // Shops of apps and of other things, events, funding.
    "apps.apple.com itunes.apple.com testflight.apple.com appstore.com apps.microsoft.com appsource.microsoft.com",
    "store.steampowered.com amazon.com amazon.co.uk amazon.de etsy.com ebay.com ebay.co.uk kickstarter.com",
    "indiegogo.com gofundme.com crowdcube.com seedrs.com wefunder.com republic.com eventbrite.com eventbrite.co.uk",
    "meetup.com lu.ma zoom.us",
    // Hosts of building blocks, nobody's by themselves.
    "webflow.io wixsite.com myshopify.com netlify.app vercel.app herokuapp.com pages.dev workers.dev web.app",
    "firebaseapp.com framer.website framer.app azurewebsites.net cloudfront.net amazonaws.com onrender.com",
    // Mail for everybody: what is left of an address that was written down instead of a website.
    "gmail.com googlemail.com outlook.com hotmail.com hotmail.co.uk live.com live.co.uk msn.com yahoo.com yahoo.co.uk",
    "ymail.com rocketmail.com icloud.com me.com mac.com aol.com proton.me protonmail.com pm.me gmx.com gmx.de gmx.net",
    "web.de t-online.de mail.com mail.ru yandex.ru yandex.com zohomail.com fastmail.com hey.com tutanota.com",
    "btinternet.com sky.com qq.com 163.com 126.com free.fr orange.fr wanadoo.fr libero.it",
];

const TENANTS: &[&str] = &[
    // Shared by themselves, too.
    "medium.com substack.com blogspot.com tumblr.com notion.site typeform.com sharepoint.com sourceforge.net github.io",
    "gitlab.io webflow.io wixsite.com myshopify.com netlify.app vercel.app herokuapp.com pages.dev web.app",
    "workers.dev firebaseapp.com framer.website framer.app azurewebsites.net cloudfront.net amazonaws.com onrender.com",
    // Builders whose own page stands at the host.
    "wordpress.com squarespace.com weebly.com jimdo.com jimdofree.com jimdosite.com godaddysites.com mystrikingly.com",
    "strikingly.com webnode.com webnode.page odoo.com ghost.io beehiiv.com super.site softr.app gamma.site canva.site",
    "business.site hubspotpagebuilder.com hubspotpagebuilder.eu hs-sites.com wpengine.com wpenginepowered.com kinsta.cloud",
    "unbounce.com unbouncepages.com instapage.com leadpages.co mailchimpsites.com tilda.ws bigcartel.com bandcamp.com",
    "itch.io kajabi.com mykajabi.com teachable.com thinkific.com podia.com circle.so readme.io zendesk.com freshdesk.com",
    "atlassian.net bamboohr.com breezy.hr recruitee.com teamtailor.com personio.de personio.com cargo.site format.com",
    "bubble.io launchrock.com typedream.app durable.co dorik.io umso.co",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_on_a_list_says_whose_a_host_is() {
        let hosts = SharedHosts::default().with_extra(&["hub.acme.medium.com".to_owned()]).unwrap();
        let check = |host, owner| assert_eq!(hosts.owner(host), owner, "{host}");
        for host in ["linkedin.com", "uk.linkedin.com", "a.b.linkedin.com", "docs.google.com", "play.google.com"] {
            check(host, Owner::Shared);
        }
        check("medium.com", Owner::Shared);
        check("github.io", Owner::Shared);
        check("hub.acme.medium.com", Owner::Shared);
        check("acme.medium.com", Owner::Tenant("acme.medium.com"));
        check("blog.acme.notion.site", Owner::Tenant("acme.notion.site"));
        check("squarespace.com", Owner::Registrant);
        check("acme.squarespace.com", Owner::Tenant("acme.squarespace.com"));
        check("acme.ai", Owner::Registrant);
        check("notlinkedin.com", Owner::Registrant);
        check("linkedin.com.acme.ai", Owner::Registrant);
        check("ax.com", Owner::Registrant);
    }

    #[test]
    fn the_shipped_lists_hold_canonical_hosts_once() {
        for list in [SHARED, TENANTS] {
            let mut seen = BTreeSet::new();
            for host in list.iter().flat_map(|row| row.split(' ')) {
                assert_eq!(Address::parse(host).unwrap().host, host);
                assert!(!is_registry(host), "{host}");
                assert!(seen.insert(host), "{host} stands twice");
            }
        }
    }

    #[test]
    fn every_shared_suffix_of_the_public_list_leaves_its_tenants_alone() {
        let hosts = SharedHosts::default();
        // What stands below this one is GitHub's, not a user's.
        for host in hosts.shared().into_iter().filter(|host| *host != "githubusercontent.com") {
            if psl::suffix_str(host) == Some(host) {
                assert!(hosts.tenants.contains(host), "the tenants of {host} would claim nothing");
            }
        }
    }

    #[test]
    fn extra_hosts_may_be_written_in_many_ways_and_all_wrong_ones_are_named() {
        let extra = ["*.Example.com", "https://www.sites.example/x", " acme.ai "].map(str::to_owned);
        let hosts = SharedHosts::default().with_extra(&extra).unwrap();
        for host in ["example.com", "a.example.com", "sites.example", "acme.ai"] {
            assert_eq!(hosts.owner(host), Owner::Shared, "{host}");
        }
        let wrong = ["co.uk", "", "acme.ai", "not a host", "1.2.3.4"].map(str::to_owned);
        let problem = SharedHosts::default().with_extra(&wrong).unwrap_err();
        assert_eq!(problem.0, ["co.uk", "", "not a host", "1.2.3.4"]);
    }
}
