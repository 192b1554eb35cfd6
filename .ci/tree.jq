# Reads `cargo metadata` and prints package id → "runtime" for packages in the program, "build" for those that only
# build scripts and macros need. Development dependencies are left out.
(.resolve.nodes | map({key: .id, value: .deps}) | from_entries) as $deps
| ([.packages[] | select(any(.targets[].kind[]; . == "proc-macro")) | {key: .id, value: true}] | from_entries) as $macros
| def needs: . as $id | $deps[$id][];
  # All packages that can be reached from a list of packages by steps of `next`.
  def reach(next): ([.[], (.[] | next)] | unique) as $more | if $more == . then . else ($more | reach(next)) end;
  [.resolve.root]
| reach(needs | select(any(.dep_kinds[]; .kind != "dev")) | .pkg) as $all
| reach(needs | select(any(.dep_kinds[]; .kind == null) and ($macros[.pkg] | not)) | .pkg) as $runtime
| [$all[] | {key: ., value: (if IN($runtime[]) then "runtime" else "build" end)}] | from_entries
