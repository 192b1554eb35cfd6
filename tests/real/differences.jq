# Compares the series of one pod in two scrapes by the same Prometheus, $direct and $through, each the result
# of a range query. Every series of one must be in the other. Where a value stood still for the directly
# scraped one, the other must have had that value, to the last digit, in the same span of time.

def own_series_of_a_scrape: IN("scrape_samples_post_metric_relabeling", "scrape_series_added");

def by_labels:
  reduce (.[0][] | select(.metric.__name__ | own_series_of_a_scrape | not)) as $series
    ({}; .[$series.metric | del(.via) | tojson] = $series.values);

# The one value of samples that did not move, or nothing.
def still: select(length > 1) | map(.[1]) | unique | select(length == 1) | .[0];

def other_values($span; $value): map(select(.[0] >= $span[0][0] and .[0] <= $span[-1][0] and .[1] != $value));

($direct | by_labels) as $direct
| ($through | by_labels) as $through
| ($direct | with_entries(.value |= [still] | select(.value != []))) as $still
| [($direct | keys_unsorted[] | select(. as $key | $through | has($key) | not) | "missing " + .),
   ($through | keys_unsorted[] | select(. as $key | $direct | has($key) | not) | "too many " + .),
   ($still | to_entries[] | .key as $key | .value[0] as $value
     | ($through[$key] // [] | other_values($direct[$key]; $value))[0]
     | select(.) | "\($key) is \(.[1]) instead of \($value)")]
| if length > 0 then "\(length) differences: \(.[0:3] | join("; "))"
  else "the same \($through | length) series, \($still | length) of them standing still at the same value" end
