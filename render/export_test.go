package render

// InChunksOf makes chunks smaller, so that small overlays have some.
func (r *Renderer) InChunksOf(n int) *Renderer {
	r.chunk = n
	return r
}
