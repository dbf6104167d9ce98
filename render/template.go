package render

import (
	"context"

	"github.com/cloudcwfranck/kspec"
)

func (j *job) templates(context.Context) []kspec.File { return nil }
