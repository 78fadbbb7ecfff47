package architecture

import "path"

// Link is a package that a program links, and the package that imports it.
type Link struct{ Package, Via string }

// Links returns every package that a program links: our own by their folders, others by their
// import paths. It follows only our own; the imports of a library are not in the tree.
func (t Tree) Links(program string) []Link {
	files := map[string][]string{}
	for _, name := range t.GoFiles(false) {
		files[path.Dir(name)] = append(files[path.Dir(name)], name)
	}
	seen := map[string]bool{}
	var found []Link
	var follow func(folder string)
	follow = func(folder string) {
		for _, file := range files[folder] {
			for _, i := range t.Imports(file) {
				name, ours := Inside(i.Path)
				if !ours {
					name = i.Path
				}
				if seen[name] {
					continue
				}
				seen[name] = true
				found = append(found, Link{name, folder})
				if ours {
					follow(name)
				}
			}
		}
	}
	follow(program)
	return found
}
