import torch,time
from clip_autt.faces.head import head_mesh
from torch.nn import functional as F
torch.set_num_threads(1)
m=head_mesh(); tri=m.triangles[m.part<=5]; V=len(m.vertices); B=4
p=m.vertices[None].repeat(B,1,1)+.001*torch.randn(B,V,3)
def tm(n,f,r=20):
    f();t=time.process_time()
    for _ in range(r): f()
    print(n,(time.process_time()-t)/r/B*1e3,'ms/pic')
def faces(p): a,b,c=(p.index_select(1,k) for k in tri.unbind(1)); return torch.linalg.cross(b-a,c-a)
fn=faces(p)
tm('faces',lambda:faces(p))
def add():
    o=torch.zeros_like(p)
    for k in tri.unbind(1): o.index_add_(1,k,fn)
    return o
tm('index_add',add)
row=tri.T.reshape(-1); col=torch.arange(len(tri)).repeat(3)
A=torch.sparse_coo_tensor(torch.stack([row,col]),torch.ones(len(row)),(V,len(tri))).coalesce().to_sparse_csr()
ft=fn.permute(1,0,2).reshape(len(tri),-1).contiguous()
tm('csr mm',lambda:A@ft)
# planar
P=p.permute(2,0,1).contiguous() # 3,B,V
def planar():
    x,y,z=P
    g=lambda q,k:q.index_select(1,tri[:,k].contiguous())
    c=[tri[:,k].contiguous() for k in range(3)]
    ax,ay,az=(q.index_select(1,c[0]) for q in P); 
    bx,by,bz=(q.index_select(1,c[1])-a for q,a in zip(P,(ax,ay,az))); cx,cy,cz=(q.index_select(1,c[2])-a for q,a in zip(P,(ax,ay,az)))
    return torch.stack([by*cz-bz*cy,bz*cx-bx*cz,bx*cy-by*cx])
tm('planar faces',planar)
f3=planar().reshape(3*B,-1)
# padded adjacency
order=row.argsort(stable=True); cnt=torch.bincount(row,minlength=V); mx=int(cnt.max()); print('maxdeg',mx)
pad=torch.full((V,mx),len(tri)); st=cnt.cumsum(0)-cnt
pad[row[order],torch.arange(len(row))-st[row[order]]]=col[order]
f3p=F.pad(f3,(0,1))
tm('pad gather',lambda:sum(f3p.index_select(1,pad[:,k]) for k in range(mx)))
tm('scatter_add planar',lambda:torch.zeros(3*B,V).index_add_(1,row,f3.repeat(1,3)))
rows=torch.cat([row]*1)
tm('embbag',lambda:F.embedding_bag(col[order],ft,st,mode='sum'))
n=torch.randn(B,V,3)
tm('normalize',lambda:F.normalize(n,dim=-1))
nt=torch.randn(3,B*V)
tm('normalize planar',lambda:nt*(nt*nt).sum(0).add_(1e-20).rsqrt_())
D=torch.randn(96,3); vis=torch.rand(V,96); L=torch.randn(96,3)
tm('light96',lambda:torch.relu_(n@D.T).mul_(vis)@L)
D=torch.randn(64,3); vis=torch.rand(3500,64); L=torch.randn(64,3); n=torch.randn(B,3500,3)
tm('light64/3500',lambda:torch.relu_(n@D.T).mul_(vis)@L)
