package render

// InChunksOf makes chunks smaller, so that small overlays have some.
func (r *Renderer) InChunksOf(n int) *Renderer {
	r.chunk = n
	return r
}

// Remembered is the memory that the cache counts.
func (r *Renderer) Remembered() int64 { return r.cache.size }
