package move

// Leave leaves a step out, for a control that must notice it.
func (m *Move) Leave(step string) { m.leave = step }
