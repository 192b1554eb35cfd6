# Reads `cargo metadata`: package id → "runtime" for what becomes part of the program, "build" for what only
# build scripts and macros need. Development dependencies are left out.
(.resolve.nodes | map({key: .id, value: .deps}) | from_entries) as $deps
| ([.packages[] | select(any(.targets[].kind[]; . == "proc-macro")) | {key: .id, value: true}] | from_entries) as $macros
| def needs: . as $id | $deps[$id][];
  # All that is reached from a list of packages, in steps of `next`.
  def reach(next): ([.[], (.[] | next)] | unique) as $more | if $more == . then . else ($more | reach(next)) end;
  [.resolve.root]
| reach(needs | select(any(.dep_kinds[]; .kind != "dev")) | .pkg) as $all
| reach(needs | select(any(.dep_kinds[]; .kind == null) and ($macros[.pkg] | not)) | .pkg) as $runtime
| [$all[] | {key: ., value: (if IN($runtime[]) then "runtime" else "build" end)}] | from_entries
