# Compares the series of one pod in two scrapes by the same Prometheus, $direct and $through, each the result
# of a range query. Every series of one must be in the other, and a series whose value stood still in both
# must have stood at the same value, to the last digit.

# Prometheus adds these to what it scrapes itself.
def report: IN("scrape_samples_post_metric_relabeling", "scrape_series_added");

# Being scraped moves these: a connection, a goroutine, a count of requests.
def moved_by_scraping: test("^(go|process|promhttp|node_netstat|node_sockstat)_");

def by_labels:
  reduce (.[0][] | select(.metric.__name__ | report | not)) as $series
    ({}; .[$series.metric | del(.via) | tojson] = $series);

# The value of a series that several samples agree on, or nothing.
def still: select(.metric.__name__ | moved_by_scraping | not)
  | .values | select(length > 1) | map(.[1]) | unique | select(length == 1) | .[0];

($direct | by_labels) as $direct
| ($through | by_labels) as $through
| [$through | keys_unsorted[] | select($direct[.]) | {key: ., direct: $direct[.] | still, through: $through[.] | still}]
    as $still
| [($direct | keys_unsorted[] | select($through[.] | not) | "missing \(.)"),
   ($through | keys_unsorted[] | select($direct[.] | not) | "too many \(.)"),
   ($still[] | select(.direct != .through) | "\(.key) is \(.through) instead of \(.direct)")]
| if length > 0 then "\(length) differences: \(.[0:3] | join("; "))"
  else "the same \($through | length) series, \($still | length) of them standing still at the same value" end
